//! The policy gradient.

use nasrl_controller::{Config, Draw, Error, Reinforce};
use nasrl_space::{Space, Tokens};
use nasrl_tensor::Backend;

use super::{Metrics, Proposal, Rejection, Strategy, StrategyError};

/// A controller that samples architectures and learns by REINFORCE (arXiv 1611.01578, section 3.2).
pub struct ReinforceStrategy<B: Backend> {
    controller: Reinforce<B>,
}

const NAME: &str = "rl";

impl<B: Backend> ReinforceStrategy<B> {
    /// A controller that has seen nothing yet.
    ///
    /// # Errors
    /// [`StrategyError`] for hyperparameters outside their range.
    pub fn new(
        backend: &B,
        space: &Space,
        config: &Config,
        seed: u64,
    ) -> Result<Self, StrategyError> {
        let controller = Reinforce::new(backend, space, config, seed).map_err(wrap)?;
        Ok(ReinforceStrategy { controller })
    }
}

impl<B: Backend> Strategy for ReinforceStrategy<B> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn learns(&self) -> bool {
        true
    }

    fn propose(
        &mut self,
        trial: u64,
        within: &Space,
        rejected: &dyn Fn(&Tokens) -> Option<Rejection>,
    ) -> Result<Option<Proposal>, StrategyError> {
        Ok(match self.controller.propose(trial, within, rejected).map_err(wrap)? {
            nasrl_controller::Proposal::Exhausted => None,
            nasrl_controller::Proposal::Drawn(draw) => {
                let Draw { tokens, log_probability, entropy, redraws, restarted } = draw;
                Some(Proposal {
                    tokens,
                    setting: None,
                    log_probability: Some(log_probability),
                    entropy: Some(entropy),
                    redraws: redraws as u64,
                    restarted,
                })
            }
        })
    }

    fn observe(&mut self, trial: u64, tokens: &Tokens, reward: f64) -> Result<(), StrategyError> {
        self.controller.observe(trial, tokens, reward).map_err(wrap)
    }

    fn metrics(&self) -> Metrics {
        let nasrl_controller::Metrics { baseline, mean_reward, entropy, restarts, .. } =
            self.controller.metrics();
        Metrics { baseline, mean_reward, entropy, restarts }
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, StrategyError> {
        self.controller.checkpoint().map(Some).map_err(wrap)
    }
}

fn wrap(reason: Error) -> StrategyError {
    StrategyError { strategy: NAME, reason: reason.into() }
}
