//! A network compiled to a list of steps over buffers that are planned once.
//!
//! A training step runs *stages*. A stage is a list of steps that is run for one block of images
//! after another, by whichever thread is free; between two stages stands what needs the whole
//! batch: the statistics of batch normalisation, and at the end the optimizer. A network without
//! batch normalisation is one stage, so that the activations of a block stay in the cache from the
//! input to the last gradient.

mod backward;
mod blueprint;
mod ir;
mod lower;
mod parameters;
mod plan;
mod rematerialise;
mod run;
mod state;

use nasrl_space::{Graph, Image, ParameterSpec};
use nasrl_tensor::ops::{
    Augment, GradientPieces, ImageBatch, ImageSource, OptimizedTensor, StepSizes,
};
use nasrl_tensor::{Backend, Result};

pub use lower::Lowering;

use crate::TrainError;
use crate::data::Split;
use crate::recipe::Recipe;
use crate::schedule::{Block, Schedule};
use crate::team::Team;
use crate::weights::Weights;
use blueprint::Blueprint;
use ir::Mode;
use parameters::Place;
use plan::Plan;
use run::Run;
use state::{Group, LOSS_SUMS, Norm, State, Streams, Trained, Worker};

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
    let blueprint = Blueprint::new(graph, recipe, lowering, schedule)?;
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
        let blueprint = Blueprint::new(graph, recipe, options.lowering, options.schedule)?;
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
        let parameters: Vec<_> = trained.collect::<Result<_>>()?;
        let gradients: Vec<_> =
            parameters.iter().map(|trained| trained.gradient_len(backend, schedule)).collect();
        let state = State {
            parameters,
            norms: norms.collect::<Result<_>>()?,
            streams: Streams::new(graph, options.seed, options.trial),
            input: options.input,
            steps: 0,
        };
        let team = Team::new(schedule.threads)?;
        let workers = (0..schedule.threads).map(|_| Worker::new(backend, slots));
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
        })
    }

    /// Takes new weights. What the optimizer remembers stays.
    ///
    /// # Errors
    /// [`TrainError::Weights`] if they are those of another network.
    pub fn load(&mut self, weights: &Weights) -> Result<(), TrainError> {
        let [trained, running] = self.buffers(weights)?;
        let State { parameters, norms, .. } = &mut self.state;
        for (parameter, values) in parameters.iter_mut().zip(&trained) {
            self.backend.write(values, &mut parameter.values)?;
            if let Some(plan) = &mut parameter.plan {
                self.backend.conv2d_load(plan, &parameter.values)?;
            }
        }
        for (norm, values) in norms.iter_mut().zip(&running) {
            self.backend.write(values, &mut norm.running)?;
        }
        Ok(())
    }

    /// The weights as they are now.
    ///
    /// # Errors
    /// Those of the device.
    pub fn weights(&self) -> Result<Weights, TrainError> {
        self.named(|place, values| match place {
            Place::Trained(id, _) => self.backend.read(&self.state.parameters[id.0].values, values),
            Place::Running(id, _) => self.backend.read(&self.state.norms[id.0].running, values),
        })
    }

    /// Takes what the optimizer is to remember, and after how many steps.
    pub(crate) fn load_memory(&mut self, steps: u64, memory: &[Weights]) -> Result<(), TrainError> {
        for (index, moments) in memory.iter().enumerate() {
            let [trained, _] = self.buffers(moments)?;
            for (parameter, values) in self.state.parameters.iter_mut().zip(&trained) {
                self.backend.write(values, &mut parameter.moments[index])?;
            }
        }
        self.state.steps = steps;
        Ok(())
    }

    /// What the optimizer remembers of each parameter; running statistics have zeros.
    pub(crate) fn memory(&self) -> Result<Vec<Weights>, TrainError> {
        let moments = self.recipe.optimizer.rule().state_buffers();
        let of = |index: usize| {
            self.named(|place, values| match place {
                Place::Trained(id, _) => {
                    self.backend.read(&self.state.parameters[id.0].moments[index], values)
                }
                Place::Running(..) => Ok(()),
            })
        };
        (0..moments).map(of).collect()
    }

    /// The gradients of the last [`Program::backpropagate`] under the names of the parameters;
    /// running statistics have zeros.
    ///
    /// # Errors
    /// Those of the device.
    pub fn gradients(&self) -> Result<Weights, TrainError> {
        self.named(|place, values| {
            let Place::Trained(id, _) = place else { return Ok(()) };
            let parameter = &self.state.parameters[id.0];
            for part in self.last_gradients().of(id.0, parameter) {
                let mut pieces = vec![0.0; part.count * parameter.len];
                self.backend.read(part.buffer, &mut pieces)?;
                for piece in pieces.chunks(parameter.len) {
                    values.iter_mut().zip(piece).for_each(|(sum, part)| *sum += part);
                }
            }
            Ok(())
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
        self.images = batch.indices.len();
        self.run(Mode::Training, batch)
    }

    /// Takes a step of the optimizer against the gradients, of size `rate`.
    ///
    /// # Errors
    /// Those of the device.
    pub fn update(&mut self, rate: f64) -> Result<(), TrainError> {
        let State { parameters, norms, steps, .. } = &mut self.state;
        *steps += 1;
        let step =
            self.recipe.step(StepSizes::Given(self.recipe.optimizer.rule().sizes(rate, *steps)));
        let gradients = Gradients {
            backend: &self.backend,
            groups: &self.groups,
            norms,
            schedule: self.schedule,
            images: self.images,
        };
        // A thread that is alone has all parameters, so that a device can change them at once.
        let share = if self.schedule.threads == 1 { parameters.len().max(1) } else { 1 };
        let mut shares: Vec<_> = parameters.chunks_mut(share).collect();
        self.team.for_each(&mut self.workers, &mut shares, |_, index, parameters| {
            let first = index * share;
            let numbered = parameters.iter().enumerate();
            let pieces: Vec<_> =
                numbered.map(|(index, parameter)| gradients.of(first + index, parameter)).collect();
            let mut tensors: Vec<_> = parameters
                .iter_mut()
                .zip(&pieces)
                .map(|(Trained { len, values, moments, .. }, gradients)| OptimizedTensor {
                    len: *len,
                    parameters: values,
                    gradients,
                    state: moments,
                })
                .collect();
            gradients.backend.optimizer_steps(&step, &mut tensors)?;
            let plans = parameters.iter_mut();
            let plans = plans.filter_map(|trained| Some((trained.plan.as_mut()?, &trained.values)));
            gradients.backend.conv2d_load_all(&mut plans.collect::<Vec<_>>())
        })?;
        Ok(())
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
        self.run(Mode::Inference, batch)
    }

    /// How many bytes the buffers take; what the device keeps for convolutions comes on top.
    pub fn bytes(&self) -> usize {
        let workers = self.workers.iter().map(Worker::bytes);
        let groups = self.groups.iter().map(Group::bytes);
        workers.chain(groups).sum::<usize>() + self.state.bytes()
    }

    /// Runs all stages for a batch.
    fn run(&mut self, mode: Mode, batch: &Batch<'_>) -> Result<Score, TrainError> {
        let plan = match mode {
            Mode::Training => &self.training,
            Mode::Inference => &self.inference,
        };
        let (on, schedule, images) = (&self.backend, self.schedule, batch.indices.len());
        assert!((1..=self.recipe.batch).contains(&images), "a batch of {images} images");
        let used = images.div_ceil(schedule.group);
        for stage in &plan.stages {
            let state = &self.state;
            let groups = &mut self.groups[..used];
            self.team.for_each(&mut self.workers, groups, |worker, number, group| {
                schedule.blocks(images, number).try_for_each(|block| {
                    let single = schedule.has_single_blocks();
                    let mut run =
                        Run { backend: on, plan, state, batch, worker, group, block, single };
                    run.steps(stage.steps.clone())
                })
            })?;
            for reduction in &stage.reductions {
                let slot = plan.block_slot(reduction.value);
                let blocks = self.groups[..used].iter().enumerate().flat_map(|(number, group)| {
                    let sized = move |block: Block| (group.block(block.index, slot), block.len());
                    schedule.blocks(images, number).map(sized)
                });
                self.state.reduce(on, reduction, &blocks.collect::<Vec<_>>())?;
            }
        }
        self.score(used)
    }

    /// The loss and the correct answers of all groups.
    fn score(&self, used: usize) -> Result<Score, TrainError> {
        let mut score = Score { loss: 0.0, correct: 0 };
        for loss in self.groups[..used].iter().filter_map(|group| group.loss.as_ref()) {
            let mut sums = [0.0f32; LOSS_SUMS];
            self.backend.read(loss, &mut sums)?;
            score.loss += sums[0];
            score.correct += sums[1] as usize;
        }
        Ok(score)
    }

    /// The values of every buffer of parameters and of every buffer of running statistics.
    fn buffers(&self, weights: &Weights) -> Result<[Vec<Vec<f32>>; 2], TrainError> {
        weights.check(&self.specs)?;
        let mut trained = vec![Vec::new(); self.state.parameters.len()];
        let mut running = vec![Vec::new(); self.state.norms.len()];
        for (place, values) in self.places.iter().zip(weights.values()) {
            match *place {
                Place::Trained(id, _) => trained[id.0].extend(values),
                Place::Running(id, _) => running[id.0].extend(values),
            }
        }
        Ok([trained, running])
    }

    fn last_gradients(&self) -> Gradients<'_, B> {
        Gradients {
            backend: &self.backend,
            groups: &self.groups,
            norms: &self.state.norms,
            schedule: self.schedule,
            images: self.images,
        }
    }

    /// Values for every parameter of the graph, out of the buffers that hold them: `read` fills
    /// the beginning of a buffer up to the end of the parameter.
    fn named(&self, read: impl Fn(Place, &mut [f32]) -> Result<()>) -> Result<Weights, TrainError> {
        let mut values = Vec::new();
        for (spec, place) in self.specs.iter().zip(&self.places) {
            let (Place::Trained(_, first) | Place::Running(_, first)) = *place;
            let len: usize = spec.shape.iter().product();
            let mut buffer = vec![0.0; first + len];
            read(*place, &mut buffer)?;
            values.push(buffer.split_off(first));
        }
        Ok(Weights::from_values(self.specs.clone(), values))
    }
}

/// Where the gradients of a batch are.
struct Gradients<'a, B: Backend> {
    backend: &'a B,
    groups: &'a [Group<B>],
    norms: &'a [Norm<B>],
    schedule: Schedule,
    /// How many images the batch had.
    images: usize,
}

impl<'a, B: Backend> Gradients<'a, B> {
    /// The parts of the gradient of the parameters of a buffer, in order.
    fn of(&self, buffer: usize, parameter: &Trained<B>) -> Vec<GradientPieces<'a, B::Buffer>> {
        let used = self.images.div_ceil(self.schedule.group);
        let groups = self.groups[..used].iter().enumerate().filter_map(|(number, group)| {
            let images = self.schedule.blocks(self.images, number).next()?.len();
            let plan = parameter.plan.as_ref().filter(|_| self.schedule.has_single_blocks());
            let count = plan.map_or(1, |plan| self.backend.conv2d_gradient_pieces(plan, images));
            Some(GradientPieces { buffer: group.gradients[buffer].as_ref()?, count })
        });
        let norm = parameter.norm.map(|norm| &self.norms[norm.0].gradients);
        groups.chain(norm.map(|buffer| GradientPieces { buffer, count: 1 })).collect()
    }
}
