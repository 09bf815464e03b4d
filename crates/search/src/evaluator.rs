//! What turns an architecture into a reward.

mod children;
mod memory;
mod table;

pub use children::ChildEvaluator;
pub(crate) use children::train_and_measure;
pub use table::TableEvaluator;

use nasrl_child::Epoch;
use nasrl_space::{Graph, Tokens};

use crate::setting::Setting;
use crate::{Failure, Stop};

/// Turns architectures into rewards. Nothing else in a search knows where rewards come from.
///
/// Several threads call it at once, one trial each. A panic is caught and becomes
/// [`Failure::Panicked`]. For a search to be repeatable the outcome must depend on the job alone,
/// the clock aside.
pub trait Evaluator: Sync {
    /// Evaluates one architecture. Must return [`Outcome::Stopped`] soon after `stop` was
    /// requested, and may report every epoch as it ends.
    fn evaluate(&self, job: &Job<'_>, stop: &Stop, report: &dyn Fn(&Epoch)) -> Outcome;
}

/// What to evaluate.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The number of the trial; with the run's seed the key of everything random in it.
    pub trial: u64,
    /// The choices.
    pub tokens: &'a Tokens,
    /// The setting to train it with in place of the run's recipe, where it is tuned.
    pub setting: Option<&'a Setting>,
    /// The network that they build; `None` in a space without networks.
    pub graph: Option<&'a Graph>,
}

/// What an evaluation came to.
#[derive(Debug)]
pub enum Outcome {
    /// A reward.
    Done(Measurement),
    /// None, and why, in a word and in a sentence.
    Failed(Failure, String),
    /// None, as nothing can be evaluated here any more, and why. The search ends, and the trial has
    /// no result that a run resumed elsewhere or later would take over.
    Broken(String),
    /// It was told to stop.
    Stopped,
}

/// The result of a successful evaluation.
#[derive(Debug, Default)]
pub struct Measurement {
    /// What the strategy is told. A value that is not finite counts as [`Failure::Nan`].
    pub reward: f64,
    /// The accuracy on the validation images after the last epoch, where there were any.
    pub validation_accuracy: Option<f64>,
    /// The trained weights as a safetensors file, where there are any.
    pub weights: Option<Vec<u8>>,
    /// The device that computed, if one did.
    pub device: Option<String>,
}
