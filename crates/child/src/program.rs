//! A network compiled to a list of steps over buffers that are planned once.
//!
//! A training step runs *stages*. A stage is a list of steps that is run for one block of images
//! after another, by whichever thread is free; between two stages stands what needs the whole
//! batch: the statistics of batch normalisation, and at the end the optimizer. A network without
//! batch normalisation is one stage, so that the activations of a block stay in the cache from the
//! input to the last gradient.

mod backward;
mod batch;
mod blueprint;
mod exchange;
mod fold;
mod fold_head;
mod ir;
mod lists;
mod lower;
mod parameters;
mod pass;
mod plan;
mod rematerialise;
mod resident;
mod run;
mod run_folded;
mod state;

use nasrl_space::{Graph, Image, ParameterSpec};
use nasrl_tensor::ops::{Augment, ImageBatch, ImageSource, StepSizes};
use nasrl_tensor::{Backend, Result};

pub use lower::Lowering;
pub use pass::Pass;

use crate::TrainError;
use crate::data::Split;
use crate::recipe::Recipe;
use crate::schedule::Schedule;
use crate::team::Team;
use blueprint::Blueprint;
use ir::{LeftBy, Mode};
use lists::Operands;
use parameters::Place;
use plan::Plan;
use resident::{Source, Tables};
use run::Feed;
use state::{Group, Norm, State, Streams, Trained, Worker};

/// A network that is ready to be trained and evaluated on a device.
pub struct Program<B: Backend> {
    backend: B,
    recipe: Recipe,
    specs: Vec<ParameterSpec>,
    places: Vec<Place>,
    schedule: Schedule,
    training: Plan,
    inference: Plan,
    state: State<B>,
    workers: Vec<Worker<B>>,
    groups: Vec<Group<B>>,
    team: Team,
    /// How many images the gradients are of.
    images: usize,
    /// Whether every thread has run a block.
    rehearsed: bool,
    /// What passes over images that the device holds go by.
    tables: Option<Tables<B>>,
    /// The splits that it holds and was trained or measured on.
    sources: Vec<Source<B>>,
}

/// How a program is made, apart from the recipe.
#[derive(Clone, Copy, Debug)]
pub struct ProgramOptions {
    /// How the graph becomes steps.
    pub lowering: Lowering,
    /// How a batch is cut.
    pub schedule: Schedule,
    /// What becomes of images: [`Recipe::input`].
    pub input: Augment,
    /// The run's seed, for dropout and augmentation.
    pub seed: u64,
    /// The trial, for the same.
    pub trial: u64,
}

/// Some images of a dataset.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Where they are.
    pub split: &'a Split,
    /// Which ones they are; at most the recipe's batch.
    pub indices: &'a [u32],
}

/// How a network did on a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The mean cross-entropy, in nats.
    pub loss: f32,
    /// How many images were classified correctly.
    pub correct: usize,
}

/// The bytes that a program takes at its peak, before it is made.
pub(crate) fn bytes<B: Backend>(
    backend: &B,
    graph: &Graph,
    recipe: &Recipe,
    (lowering, schedule): (Lowering, Schedule),
) -> Result<usize, TrainError> {
    let blueprint = Blueprint::new(backend, graph, recipe, lowering, schedule)?;
    Ok(blueprint.bytes(backend, graph, recipe))
}

impl<B: Backend> Program<B> {
    /// Compiles a network. Its weights are zero until [`Program::load`].
    ///
    /// # Errors
    /// [`TrainError::OutOfMemory`], [`TrainError::Threads`], or a value of the recipe or the options
    /// out of its range.
    pub fn new(
        backend: &B,
        graph: &Graph,
        recipe: &Recipe,
        options: &ProgramOptions,
    ) -> Result<Self, TrainError> {
        let blueprint = Blueprint::new(backend, graph, recipe, options.lowering, options.schedule)?;
        let Blueprint { parameters, schedule, slots, .. } = &blueprint;
        let Image { height, width, channels } = graph.input_shape();
        let (count, source) = (recipe.batch, ImageSource::Batch);
        options.input.check(ImageBatch { count, height, width, channels, source })?;
        let moments = recipe.optimizer.rule().state_buffers();
        let trained = parameters.trained.iter().zip(&blueprint.dtypes);
        let trained =
            trained.map(|(parameter, dtype)| Trained::new(backend, parameter, *dtype, moments));
        let norms = parameters.norms.iter();
        let norms = norms.map(|norm| Norm::new(backend, norm, &recipe.batch_norm));
        let mut trained = trained.collect::<Result<Vec<_>>>()?;
        for (index, by) in blueprint.left_in_pieces.iter().enumerate() {
            let images = 1..=schedule.block;
            trained[index].pieces = match by {
                Some(LeftBy::Convolution(filters)) => {
                    trained[filters.0].pieces(backend, schedule.block)
                }
                Some(LeftBy::Head(head)) => {
                    images.map(|images| backend.classifier_pieces(&head.of(images))).collect()
                }
                None => Vec::new(),
            };
        }
        let gradients: Vec<_> = trained.iter().map(Trained::gradient_len).collect();
        let state = State {
            parameters: trained,
            norms: norms.collect::<Result<_>>()?,
            streams: Streams::new(graph, options.seed, options.trial),
            input: options.input,
            steps: 0,
            statistics: Vec::new(),
        };
        let team = Team::new(schedule.threads)?;
        let block = (schedule.block, graph.input_shape().elements());
        let share = if schedule.threads == 1 { gradients.len() } else { 1 };
        let workers = (0..schedule.threads)
            .map(|_| Worker::new(backend, slots, block, Operands::new(share, blueprint.groups)));
        let groups = (0..blueprint.groups)
            .map(|_| Group::new(backend, &gradients, (slots, blueprint.blocks)));
        Ok(Program {
            backend: backend.clone(),
            recipe: recipe.clone(),
            specs: graph.parameter_specs(),
            workers: workers.collect::<Result<_>>()?,
            groups: groups.collect::<Result<_>>()?,
            schedule: *schedule,
            places: blueprint.parameters.places,
            training: blueprint.training,
            inference: blueprint.inference,
            state,
            team,
            images: 0,
            rehearsed: false,
            tables: None,
            sources: Vec::new(),
        })
    }

    /// Computes the gradients of the mean loss of a batch.
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Panics
    /// If the batch is empty or larger than the recipe's, or an index is not one of the split.
    pub fn backpropagate(&mut self, batch: &Batch<'_>) -> Result<Score, TrainError> {
        self.run(Mode::Training, &Feed::Host(batch))?;
        Ok(self.score(batch.indices.len())?)
    }

    /// Takes a step of the optimizer against the gradients, of size `rate`.
    ///
    /// # Errors
    /// Those of the device.
    pub fn update(&mut self, rate: f64) -> Result<(), TrainError> {
        self.state.steps += 1;
        let sizes = self.recipe.optimizer.rule().sizes(rate, self.state.steps);
        Ok(self.descend(StepSizes::Given(sizes))?)
    }

    /// How the network does on a batch as it is, without dropout or augmentation, and with running
    /// statistics.
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Panics
    /// As [`Program::backpropagate`].
    pub fn evaluate(&mut self, batch: &Batch<'_>) -> Result<Score, TrainError> {
        self.state.use_running(&self.backend)?;
        self.infer(batch)
    }

    /// [`Program::evaluate`] with the running statistics that are in use.
    fn infer(&mut self, batch: &Batch<'_>) -> Result<Score, TrainError> {
        self.run(Mode::Inference, &Feed::Host(batch))?;
        Ok(self.score(batch.indices.len())?)
    }

    /// Trains on the images of a split in this order, a batch for each of the `rates`, which are
    /// the sizes of their steps: the scores of the batches as they came, see [`Pass`].
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Panics
    /// If there are more rates than batches, or an image is not one of the split.
    pub fn train<'a>(
        &'a mut self,
        split: &'a Split,
        order: &'a [u32],
        rates: &'a [f64],
    ) -> Result<Pass<'a, B>, TrainError> {
        Pass::new(self, split, order, Some(rates))
    }

    /// How the network does on the images of a split in this order, batch by batch, as it does in
    /// [`Program::evaluate`].
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Panics
    /// If an image is not one of the split.
    pub fn measure<'a>(
        &'a mut self,
        split: &'a Split,
        order: &'a [u32],
    ) -> Result<Pass<'a, B>, TrainError> {
        self.state.use_running(&self.backend)?;
        Pass::new(self, split, order, None)
    }

    /// How many bytes the buffers take; what the device keeps for convolutions comes on top.
    pub fn bytes(&self) -> usize {
        let workers = self.workers.iter().map(Worker::bytes);
        let groups = self.groups.iter().map(Group::bytes);
        let tables = self.tables.iter().map(Tables::bytes);
        workers.chain(groups).chain(tables).sum::<usize>() + self.state.bytes()
    }
}
