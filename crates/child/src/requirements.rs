//! What a child asks of a machine, before anything is allocated for it.

use nasrl_space::Graph;
use nasrl_tensor::Backend;

use crate::TrainError;
use crate::program::{self, Lowering};
use crate::recipe::Recipe;
use crate::schedule::Schedule;

/// What training a child takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirements {
    /// Bytes at the peak of [`train`](crate::train), evaluation included, the dataset and tables
    /// over its images not:
    /// parameters and what the optimizer remembers, packed filters, activations and gradients of
    /// the batch, buffers and scratches of the threads, copies of the weights.
    pub bytes: usize,
    /// Numbers that are trained: [`Graph::parameters`].
    pub parameters: u64,
    /// Operations of a forward pass over one image: [`Graph::flops`]. A training step takes three
    /// times as many for each of its images.
    pub flops: u64,
}

/// What training a network on the CPU with so many threads takes.
///
/// # Errors
/// [`TrainError::Recipe`] if the recipe has a value out of its range.
pub fn requirements(
    graph: &Graph,
    recipe: &Recipe,
    threads: usize,
) -> Result<Requirements, TrainError> {
    let schedule = Schedule::cpu(graph, recipe.precision, threads);
    requirements_on(&recipe.cpu(), graph, recipe, schedule)
}

/// [`requirements`] on a backend, with batches cut as `schedule` says.
///
/// # Errors
/// Those of [`requirements`], and [`TrainError::Schedule`].
pub fn requirements_on<B: Backend>(
    backend: &B,
    graph: &Graph,
    recipe: &Recipe,
    schedule: Schedule,
) -> Result<Requirements, TrainError> {
    Ok(Requirements {
        bytes: program::bytes(backend, graph, recipe, (Lowering::Fused, schedule))?,
        parameters: graph.parameters(),
        flops: graph.flops(),
    })
}
