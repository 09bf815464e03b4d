//! What decides which architecture to try next.

mod random;
mod reinforce;

pub use random::Random;
pub use reinforce::ReinforceStrategy;

pub use nasrl_controller::Rejection;

use nasrl_space::{Space, Tokens};

use crate::setting::Setting;

/// A strategy proposes architectures and learns from their rewards.
///
/// The scheduler calls it in an order that depends on the configuration alone, never on how fast
/// anything ran; a strategy that depends on nothing else makes a search repeatable and, as replaying
/// the calls rebuilds it, resumable.
pub trait Strategy {
    /// Its name in `trials.csv`.
    fn name(&self) -> &'static str;

    /// Whether rewards change what it proposes. If not, it need not wait for them.
    fn learns(&self) -> bool;

    /// What to try as its trial number `trial`, counted from 0 in steps of one, `within` its space
    /// or that cut to fewer layers; `None` once nothing is left there. `rejected` tells whether it
    /// has proposed the architecture before, or may not propose it, as one over a limit.
    ///
    /// A strategy that redraws asks for every draw once, in order, before it asks for anything
    /// else.
    ///
    /// # Errors
    /// [`StrategyError`] if it has become unable to propose anything.
    fn propose(
        &mut self,
        trial: u64,
        within: &Space,
        rejected: &dyn Fn(&Tokens) -> Option<Rejection>,
    ) -> Result<Option<Proposal>, StrategyError>;

    /// Learns the reward of one of its trials; they come in order.
    ///
    /// # Errors
    /// [`StrategyError`] if it cannot learn from it.
    fn observe(&mut self, trial: u64, tokens: &Tokens, reward: f64) -> Result<(), StrategyError>;

    /// How the learning goes.
    fn metrics(&self) -> Metrics;

    /// What it has learned, as a safetensors file; `None` if there is nothing to keep.
    ///
    /// # Errors
    /// [`StrategyError`] if what it learned cannot be read.
    fn checkpoint(&self) -> Result<Option<Vec<u8>>, StrategyError>;
}

/// An architecture to try, and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// One choice for each decision.
    pub tokens: Tokens,
    /// The setting to train it with in place of the run's recipe.
    pub setting: Option<Setting>,
    /// Their log-probability, in nats, for strategies that have one.
    pub log_probability: Option<f64>,
    /// The entropy of the distributions along them, in nats, for strategies that have one.
    pub entropy: Option<f64>,
    /// How many were thrown away for this one, being rejected.
    pub redraws: u64,
    /// Whether the strategy forgot what it had learned just before.
    pub restarted: bool,
}

/// How the learning goes. What a strategy does not have is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metrics {
    /// The baseline that rewards are compared with, on the strategy's own scale.
    pub baseline: Option<f64>,
    /// The mean of the latest rewards.
    pub mean_reward: Option<f64>,
    /// The entropy of the policy along the latest proposal, in nats.
    pub entropy: Option<f64>,
    /// How often it forgot what it had learned.
    pub restarts: u64,
}

/// A strategy that cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("strategy {strategy}: {reason}")]
pub struct StrategyError {
    /// The strategy's name.
    pub strategy: &'static str,
    /// What went wrong.
    pub reason: Box<dyn std::error::Error + Send + Sync>,
}
