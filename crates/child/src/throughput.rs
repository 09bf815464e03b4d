//! How fast children train.

use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use nasrl_space::Graph;
use nasrl_tensor::random::{Key, Philox};
use rand_core::Rng;

use crate::TrainError;
use crate::data::{ImageShape, Split};
use crate::program::{Lowering, Program, ProgramOptions};
use crate::recipe::Recipe;
use crate::schedule::Schedule;
use crate::weights::Weights;

/// How training speed is measured.
#[derive(Clone, Copy, Debug)]
pub struct Throughput {
    /// Steps that are timed together, at least 1.
    pub steps: usize,
    /// How often that is repeated, at least once.
    pub repeats: usize,
    /// Children that are trained at the same time, each with threads of its own.
    pub jobs: usize,
    /// Threads of each child.
    pub threads: usize,
}

/// Steps before the first that is timed.
const WARM_UP: usize = 5;

/// Batches of random images that are trained on in turn.
const BATCHES: usize = 4;

/// Training images a second on random images: the median over the repeats, added up over the
/// children. Everything a training step does is in it, from the images' bytes to the optimizer.
///
/// # Errors
/// Those of [`train`](crate::train) that are not about data.
pub fn throughput(graph: &Graph, recipe: &Recipe, options: &Throughput) -> Result<f64, TrainError> {
    recipe.validate()?;
    let split = random_images(graph, BATCHES * recipe.batch)?;
    thread::scope(|scope| {
        let job = || time(graph, recipe, options, &split);
        let start = |_| {
            thread::Builder::new()
                .spawn_scoped(scope, job)
                .map_err(|source| TrainError::Threads { threads: options.jobs, source })
        };
        let jobs = (0..options.jobs).map(start).collect::<Result<Vec<_>, _>>()?;
        let rate =
            |job: ScopedJoinHandle<'_, _>| job.join().unwrap_or_else(|panic| resume_unwind(panic));
        jobs.into_iter().map(rate).sum()
    })
}

/// One child's images a second.
fn time(
    graph: &Graph,
    recipe: &Recipe,
    options: &Throughput,
    split: &Split,
) -> Result<f64, TrainError> {
    let schedule = Schedule::cpu(graph, recipe.precision, options.threads);
    let input = recipe.input(split);
    let compile = ProgramOptions { lowering: Lowering::Fused, schedule, input, seed: 0, trial: 0 };
    let mut program = Program::new(&recipe.cpu(), graph, recipe, &compile)?;
    program.load(&Weights::initial(graph, 0, 0))?;
    let mut seconds = |steps: usize| {
        let order: Vec<u32> = (0..split.len() as u32).cycle().take(steps * recipe.batch).collect();
        let rates = vec![recipe.learning_rate; steps];
        let started = Instant::now();
        program.train(split, &order, &rates)?.try_for_each(|score| score.map(drop))?;
        Ok::<_, TrainError>(started.elapsed().as_secs_f64())
    };
    seconds(WARM_UP)?;
    let mut times =
        (0..options.repeats).map(|_| seconds(options.steps)).collect::<Result<Vec<_>, _>>()?;
    Ok((options.steps * recipe.batch) as f64 / median(&mut times))
}

fn random_images(graph: &Graph, count: usize) -> Result<Split, TrainError> {
    let image = graph.input_shape();
    let classes = graph.node(graph.output()).shape.elements() as u32;
    let shape = ImageShape { height: image.height, width: image.width, channels: image.channels };
    let mut stream = Philox::new(Key::new(0, 0, "random images"));
    let mut images = vec![0; count * shape.bytes()];
    stream.fill_bytes(&mut images);
    let labels = (0..count).map(|_| stream.below(classes)).collect();
    Ok(Split::new(shape, images, labels)?)
}

/// The median; of an even number the mean of the middle two.
fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values {
        [] => f64::NAN,
        values if values.len().is_multiple_of(2) => (values[middle - 1] + values[middle]) / 2.0,
        values => values[middle],
    }
}
