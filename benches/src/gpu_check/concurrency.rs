use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use nasrl_child::recipe::Precision;
use nasrl_space::Image;
use serde::Serialize;

use super::children::{Training, word};
use super::timing::{Timing, of_samples};
use super::{Block, Check, CheckError};

/// What [`concurrency`] measures.
#[derive(Clone, Debug)]
pub struct ConcurrencySizes {
    /// Tokens of the reference space.
    pub children: Vec<String>,
    /// Their images, which are random.
    pub image: Image,
    /// Images of a step.
    pub batch: usize,
    /// The type of activations.
    pub precision: Precision,
    /// How many are trained at once.
    pub jobs: Vec<usize>,
    /// Steps of each child in a sample.
    pub steps: usize,
}

#[derive(Serialize)]
struct Rate<'a> {
    child: &'a str,
    precision: &'static str,
    batch: usize,
    jobs: usize,
    /// Of all children together.
    steps_per_s: f64,
    /// Of a step of each of the children.
    timing: Timing,
    /// Whether all children end with the weights of one that is alone.
    same_bits: bool,
}

#[derive(Serialize)]
struct Failed<'a> {
    child: &'a str,
    jobs: usize,
    problem: String,
}

/// Times children that are trained side by side, each on a stream and a thread of its own, and
/// compares their weights with those of a child alone.
///
/// Returns how often they failed or differ.
///
/// # Errors
/// [`CheckError::Report`]; what else fails is a line.
pub fn concurrency(check: &mut Check<'_>) -> Result<usize, CheckError> {
    let mut failures = 0;
    let sizes = check.sizes.concurrency.clone();
    let (batch, precision) = (sizes.batch, word(sizes.precision));
    for child in &sizes.children {
        let mut alone: Option<Vec<u32>> = None;
        for &jobs in &sizes.jobs {
            if check.budget.is_over() {
                return Ok(failures);
            }
            match side_by_side(check, &sizes, child, jobs) {
                Ok((timing, weights)) => {
                    let reference = alone.get_or_insert_with(|| weights[0].clone());
                    let same_bits = weights.iter().all(|bits| bits == reference);
                    failures += usize::from(!same_bits);
                    let steps_per_s = jobs as f64 / (timing.median_us * 1e-6);
                    let rate =
                        Rate { child, precision, batch, jobs, steps_per_s, timing, same_bits };
                    check.report.line(Block::Concurrency, &rate)?;
                }
                Err(error) => {
                    failures += 1;
                    let problem = error.to_string();
                    check.report.line(Block::Concurrency, &Failed { child, jobs, problem })?;
                }
            }
        }
    }
    Ok(failures)
}

/// What a step of each of the children takes, and their weights in the end.
fn side_by_side(
    check: &Check<'_>,
    sizes: &ConcurrencySizes,
    child: &str,
    jobs: usize,
) -> Result<(Timing, Vec<Vec<u32>>), CheckError> {
    let new = |_| {
        let stream = check.cuda.new_stream()?;
        Training::new(&stream, child, (sizes.image, sizes.batch), sizes.precision)
    };
    let mut children = (0..jobs).map(new).collect::<Result<Vec<_>, _>>()?;
    // Compiles and loads kernels, and brings the GPU to its speed.
    for child in &mut children {
        train(child, sizes.steps)?;
    }
    let rounds = check.sizes.sampling.samples.max(1);
    // The children and this thread, which looks at the clock.
    let line = Barrier::new(jobs + 1);
    let (results, samples) = thread::scope(|scope| {
        let spawn = |child: Training| {
            let line = &line;
            scope.spawn(move || run(child, (rounds, sizes.steps), line))
        };
        let threads: Vec<_> = children.into_iter().map(spawn).collect();
        let samples: Vec<f64> = (0..rounds)
            .map(|_| {
                line.wait();
                let started = Instant::now();
                line.wait();
                started.elapsed().as_secs_f64() * 1e6 / sizes.steps.max(1) as f64
            })
            .collect();
        let results: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
        (results, samples)
    });
    let ended = |result: thread::Result<_>| {
        let reason = "it did not come to its end".to_owned();
        result.unwrap_or(Err(CheckError::Thread { children: jobs, reason }))
    };
    let weights = results.into_iter().map(ended).collect::<Result<Vec<_>, _>>()?;
    Ok((of_samples(samples, sizes.steps), weights))
}

/// Trains a child in rounds that all children begin together; one that fails waits for the others
/// to come to their end.
fn run(
    mut child: Training,
    (rounds, steps): (usize, usize),
    line: &Barrier,
) -> Result<Vec<u32>, CheckError> {
    let mut so_far = Ok(());
    for _ in 0..rounds {
        line.wait();
        so_far = so_far.and_then(|()| train(&mut child, steps));
        line.wait();
    }
    so_far?;
    Ok(child.bits()?)
}

fn train(child: &mut Training, steps: usize) -> Result<(), CheckError> {
    Ok(child.steps(steps)?)
}
