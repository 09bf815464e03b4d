//! Training a child from its first weights to its accuracies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nasrl_space::Graph;
use nasrl_tensor::Backend;
use nasrl_tensor::random::{Key, Philox};

use crate::TrainError;
use crate::checkpoint::{self, Checkpoint};
use crate::data::{Dataset, Split};
use crate::program::{Lowering, Program, ProgramOptions, Score};
use crate::progress::{Epoch, StepLoss};
use crate::recipe::{Order, Recipe};
use crate::schedule::Schedule;
use crate::training::{Test, Training};
use crate::weights::Weights;

/// A part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The images that children are trained on.
    Training,
    /// Those that a search compares children on.
    Validation,
    /// Those that a search never sees.
    Test,
}

/// A child that was trained.
#[derive(Clone, Debug)]
pub struct Trained {
    /// What each epoch came to.
    pub epochs: Vec<Epoch>,
    /// The noted losses.
    pub losses: Vec<StepLoss>,
    /// The weights at the end.
    pub weights: Weights,
    /// The accuracy on the test images, if it was asked for and there are any.
    pub test_accuracy: Option<f64>,
}

/// How a network does on a split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// The mean cross-entropy, in nats.
    pub loss: f64,
    /// The part of the images that it classifies correctly.
    pub accuracy: f64,
}

/// Trains a network on the CPU.
///
/// # Errors
/// Every [`TrainError`].
pub fn train(
    graph: &Graph,
    recipe: &Recipe,
    dataset: &Dataset,
    training: Training<'_>,
) -> Result<Trained, TrainError> {
    train_on(&recipe.cpu(), graph, recipe, dataset, training)
}

/// [`train`] on a backend whose operations run in the thread that calls them.
///
/// # Errors
/// Every [`TrainError`].
pub fn train_on<B: Backend>(
    backend: &B,
    graph: &Graph,
    recipe: &Recipe,
    dataset: &Dataset,
    mut training: Training<'_>,
) -> Result<Trained, TrainError> {
    check_shapes(graph, dataset)?;
    let (seed, trial) = (training.seed, training.trial);
    let for_cpu = || Schedule::cpu(graph, recipe.precision, training.threads);
    let schedule = training.schedule.unwrap_or_else(for_cpu);
    let input = recipe.input(&dataset.train);
    let options = ProgramOptions { lowering: Lowering::Fused, schedule, input, seed, trial };
    let mut program = Program::new(backend, graph, recipe, &options)?;
    let mut course = Course::new(recipe, dataset.train.len(), &training);
    let mut epochs = Vec::new();
    match (training.resume, training.weights) {
        (Some(checkpoint), _) => {
            checkpoint.check(&course.identity)?;
            program.load(&checkpoint.weights)?;
            program.load_memory(checkpoint.progress.steps, &checkpoint.memory)?;
            course.resume(&checkpoint.progress);
            epochs.clone_from(&checkpoint.progress.epochs);
        }
        (None, Some(weights)) => program.load(weights)?,
        (None, None) => program.load(&Weights::initial(graph, seed, trial))?,
    }
    while !course.is_over() {
        let epoch = course.epoch(&mut program, dataset, training.cancel)?;
        if let Some(on_epoch) = &mut training.on_epoch {
            on_epoch(&epoch);
        }
        epochs.push(epoch);
        if let (Some(on_checkpoint), false) = (&mut training.on_checkpoint, course.is_over()) {
            let checkpoint = Checkpoint {
                progress: course.progress(&epochs),
                weights: program.weights()?,
                memory: program.memory()?,
            };
            if on_checkpoint(&checkpoint).is_break() {
                return Err(TrainError::Cancelled);
            }
        }
    }
    let test = match training.test {
        Test::Skip => None,
        Test::Measure => dataset.test()?,
    };
    let test = test.map(|test| measure(&mut program, &test, recipe.batch, training.cancel));
    let test = test.transpose()?;
    let test_accuracy = test.map(|test| test.accuracy);
    Ok(Trained { epochs, losses: course.losses, weights: program.weights()?, test_accuracy })
}

/// The loss and the accuracy of weights on a part of a dataset, on the CPU; `None` if the dataset
/// has not got it.
///
/// # Errors
/// [`TrainError::Weights`] if they are those of another network, and those of [`train`] that are
/// not about training.
pub fn evaluate(
    graph: &Graph,
    recipe: &Recipe,
    dataset: &Dataset,
    weights: &Weights,
    on: Part,
) -> Result<Option<Evaluation>, TrainError> {
    check_shapes(graph, dataset)?;
    let split = match on {
        Part::Training => Some(Arc::clone(&dataset.train)),
        Part::Validation => dataset.validation.clone(),
        Part::Test => dataset.test()?,
    };
    let Some(split) = split else { return Ok(None) };
    let schedule = Schedule::cpu(graph, recipe.precision, rayon::current_num_threads());
    let input = recipe.input(&dataset.train);
    let options = ProgramOptions { lowering: Lowering::Fused, schedule, input, seed: 0, trial: 0 };
    let mut program = Program::new(&recipe.cpu(), graph, recipe, &options)?;
    program.load(weights)?;
    measure(&mut program, &split, recipe.batch, None).map(Some)
}

/// Where a training is.
struct Course<'a> {
    recipe: &'a Recipe,
    identity: checkpoint::Course,
    log_every: u64,
    /// The order of the images, put anew by `shuffle` each epoch.
    order: Vec<u32>,
    shuffle: Philox,
    /// How many epochs are over.
    epoch: usize,
    /// How many steps are over.
    step: u64,
    /// How many steps there are, and how many there would be without a limit.
    last_step: u64,
    steps_of_schedule: u64,
    losses: Vec<StepLoss>,
}

impl<'a> Course<'a> {
    fn new(recipe: &'a Recipe, images: usize, training: &Training<'_>) -> Self {
        let steps = (recipe.epochs as u64).saturating_mul(images.div_ceil(recipe.batch) as u64);
        let identity = training.course(recipe, images);
        Course {
            recipe,
            identity,
            log_every: training.log_every,
            order: (0..images as u32).collect(),
            shuffle: Philox::new(Key::new(training.seed, training.trial, "order of images")),
            epoch: 0,
            step: 0,
            last_step: training.steps.map_or(steps, |limit| limit.min(steps)),
            steps_of_schedule: steps,
            losses: Vec::new(),
        }
    }

    /// Goes to where a training of the same identity was.
    fn resume(&mut self, progress: &checkpoint::Progress) {
        self.epoch = progress.epochs.len();
        self.step = progress.steps;
        self.losses.clone_from(&progress.losses);
        (0..self.epoch).for_each(|_| self.reorder());
    }

    fn progress(&self, epochs: &[Epoch]) -> checkpoint::Progress {
        checkpoint::Progress {
            steps: self.step,
            course: self.identity.clone(),
            epochs: epochs.to_vec(),
            losses: self.losses.clone(),
        }
    }

    /// Puts the images in the order of the next epoch.
    fn reorder(&mut self) {
        if self.recipe.order == Order::Shuffled {
            self.shuffle.shuffle(&mut self.order);
        }
    }

    fn is_over(&self) -> bool {
        self.step >= self.last_step
    }

    /// Trains for an epoch, or what is left of the training.
    fn epoch<B: Backend>(
        &mut self,
        program: &mut Program<B>,
        dataset: &Dataset,
        cancel: Option<&AtomicBool>,
    ) -> Result<Epoch, TrainError> {
        self.reorder();
        let order = std::mem::take(&mut self.order);
        let started = Instant::now();
        let mut total = Total::default();
        let left = usize::try_from(self.last_step - self.step).unwrap_or(usize::MAX);
        let batches = order.chunks(self.recipe.batch).take(left);
        let rate = |step| self.recipe.learning_rate_at(self.epoch, step, self.steps_of_schedule);
        let rates: Vec<f64> =
            (self.step..).zip(batches.clone()).map(|(step, _)| rate(step)).collect();
        let mut step = 0;
        let mut scores = program.train(&dataset.train, &order, &rates)?;
        for indices in batches {
            check_cancelled(cancel)?;
            let Some(score) = scores.next().transpose()? else { break };
            step += 1;
            check_finite(f64::from(score.loss), self.epoch + 1, step)?;
            self.note(score);
            total.add(score, indices.len());
        }
        let seconds = started.elapsed().max(Duration::from_nanos(1)).as_secs_f64();
        self.order = order;
        self.epoch += 1;
        let validation = dataset.validation.as_deref();
        let validation = validation
            .map(|split| measure(program, split, self.recipe.batch, cancel))
            .transpose()?;
        validation.map_or(Ok(()), |found| check_finite(found.loss, self.epoch, step))?;
        let Evaluation { loss, accuracy } = total.mean();
        Ok(Epoch {
            number: self.epoch,
            loss,
            training_accuracy: accuracy,
            validation_accuracy: validation.map(|validation| validation.accuracy),
            images_per_second: total.images as f64 / seconds,
        })
    }

    /// Counts a step.
    fn note(&mut self, score: Score) {
        self.step += 1;
        if self.log_every > 0 && self.step.is_multiple_of(self.log_every) {
            self.losses.push(StepLoss { step: self.step, loss: score.loss });
        }
    }
}

/// The loss and the accuracy on a split, by batches.
fn measure<B: Backend>(
    program: &mut Program<B>,
    split: &Split,
    batch: usize,
    cancel: Option<&AtomicBool>,
) -> Result<Evaluation, TrainError> {
    let order: Vec<u32> = (0..split.len() as u32).collect();
    let mut total = Total::default();
    let mut scores = program.measure(split, &order)?;
    for indices in order.chunks(batch) {
        check_cancelled(cancel)?;
        let Some(score) = scores.next().transpose()? else { break };
        total.add(score, indices.len());
    }
    Ok(total.mean())
}

fn check_cancelled(cancel: Option<&AtomicBool>) -> Result<(), TrainError> {
    match cancel {
        Some(cancel) if cancel.load(Ordering::Relaxed) => Err(TrainError::Cancelled),
        _ => Ok(()),
    }
}

fn check_finite(loss: f64, epoch: usize, step: usize) -> Result<(), TrainError> {
    if loss.is_finite() { Ok(()) } else { Err(TrainError::Nan { epoch, step, loss }) }
}

/// Scores added up.
#[derive(Clone, Copy, Debug, Default)]
struct Total {
    loss: f64,
    correct: usize,
    images: usize,
}

impl Total {
    fn add(&mut self, score: Score, images: usize) {
        self.loss += f64::from(score.loss) * images as f64;
        self.correct += score.correct;
        self.images += images;
    }

    fn mean(&self) -> Evaluation {
        let images = self.images as f64;
        Evaluation { loss: self.loss / images, accuracy: self.correct as f64 / images }
    }
}

fn check_shapes(graph: &Graph, dataset: &Dataset) -> Result<(), TrainError> {
    let (network, found) = (graph.input_shape(), dataset.shape);
    if [network.height, network.width, network.channels]
        != [found.height, found.width, found.channels]
    {
        return Err(TrainError::Images { network, dataset: found });
    }
    let (network, classes) = (graph.node(graph.output()).shape.elements(), dataset.classes.len());
    if network != classes {
        return Err(TrainError::Classes { network, dataset: classes });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody waits for so many epochs, but a limit of steps makes them a fair thing to ask for.
    #[test]
    fn more_steps_than_can_be_counted_are_as_many_as_can() {
        let recipe = Recipe { epochs: usize::MAX, batch: 1, ..Recipe::reference() };
        let limited = Training { steps: Some(3), ..Training::default() };
        let course = Course::new(&recipe, 100, &limited);
        assert_eq!((course.last_step, course.steps_of_schedule), (3, u64::MAX));
        assert_eq!(Course::new(&recipe, 100, &Training::default()).last_step, u64::MAX);
    }
}
