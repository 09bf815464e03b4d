//! Random search, the baseline of every search.

use nasrl_space::{Space, Tokens};
use nasrl_tensor::random::{Key, Philox};

use super::{Metrics, Proposal, Rejection, Strategy, StrategyError};

/// Draws token strings uniformly and never proposes a rejected one: no architecture twice.
///
/// What it draws for a trial depends on the seed, the number of the trial and what it drew before:
/// as a baseline it makes the same draws as on its own.
#[derive(Debug)]
pub struct Random {
    seed: u64,
    rewards: Vec<f64>,
}

/// Draws before the rest of the space is enumerated. Where a thousandth of the space is left, all of
/// them miss with a probability of 2 %.
const DRAWS: usize = 4_096;
/// Larger spaces are not enumerated: they count as exhausted when all draws miss.
const ENUMERABLE: u32 = 1 << 20;

impl Random {
    /// A random search that has drawn nothing yet.
    pub fn new(seed: u64) -> Self {
        Random { seed, rewards: Vec::new() }
    }
}

impl Strategy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn learns(&self) -> bool {
        false
    }

    fn propose(
        &mut self,
        trial: u64,
        within: &Space,
        rejected: &dyn Fn(&Tokens) -> Option<Rejection>,
    ) -> Result<Option<Proposal>, StrategyError> {
        let mut stream = Philox::new(Key::new(self.seed, trial, "random search"));
        Ok(draw(within, &mut stream, rejected).map(|(tokens, redraws)| Proposal {
            tokens,
            setting: None,
            log_probability: None,
            entropy: None,
            redraws,
            restarted: false,
        }))
    }

    fn observe(&mut self, _: u64, _: &Tokens, reward: f64) -> Result<(), StrategyError> {
        self.rewards.push(reward);
        Ok(())
    }

    fn metrics(&self) -> Metrics {
        let recent = &self.rewards[self.rewards.len().saturating_sub(nasrl_controller::RECENT)..];
        let mean = recent.iter().sum::<f64>() / recent.len() as f64;
        Metrics { mean_reward: (!recent.is_empty()).then_some(mean), ..Metrics::default() }
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, StrategyError> {
        Ok(None)
    }
}

/// Something that is not rejected, and how many draws were thrown away for it.
fn draw(
    space: &Space,
    stream: &mut Philox,
    rejected: &dyn Fn(&Tokens) -> Option<Rejection>,
) -> Option<(Tokens, u64)> {
    for redraws in 0..DRAWS as u64 {
        let tokens = space.sample(stream);
        if rejected(&tokens).is_none() {
            return Some((tokens, redraws));
        }
    }
    if space.count() > ENUMERABLE.into() {
        return None;
    }
    let mut left: Vec<Tokens> = space.iter().filter(|tokens| rejected(tokens).is_none()).collect();
    let chosen = match left.len() {
        0 => return None,
        count => stream.below(u32::try_from(count).expect("at most ENUMERABLE")) as usize,
    };
    Some((left.swap_remove(chosen), DRAWS as u64))
}
