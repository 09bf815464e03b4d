//! From accuracies to rewards.

use serde::{Deserialize, Serialize};

/// How the accuracies of a child become its reward: the best of the last `last_epochs` epochs'
/// validation accuracies, to the power of `power`.
///
/// `accuracy`, the default, is that of the last epoch as it is. `paper` takes the best of the last
/// five epochs, cubed (arXiv 1611.01578, section 4.1). The clipping of
/// titu1994/neural-architecture-search is a matter of the controller (`advantage-limit`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Reward {
    /// How many epochs count, from the last one backwards; at least 1.
    pub last_epochs: usize,
    /// The exponent; above 0.
    pub power: f64,
}

/// The reward of a trial without a result: that of a child that is always wrong. It cannot be
/// beaten downwards, so that no failure ever looks better than a bad child.
pub const FAILED_REWARD: f64 = 0.0;

impl Reward {
    /// The accuracy after the last epoch.
    pub const ACCURACY: Reward = Reward { last_epochs: 1, power: 1.0 };
    /// That of the paper.
    pub const PAPER: Reward = Reward { last_epochs: 5, power: 3.0 };

    /// The reward of a child with these accuracies, one an epoch; `None` for no accuracies.
    pub fn of(&self, accuracies: &[f64]) -> Option<f64> {
        let counted = &accuracies[accuracies.len().saturating_sub(self.last_epochs)..];
        let best = counted.iter().copied().reduce(f64::max)?;
        // The sign stays, so that rewards below zero in a table keep their order.
        Some(if self.power == 1.0 { best } else { best.abs().powf(self.power).copysign(best) })
    }
}

impl Default for Reward {
    fn default() -> Self {
        Reward::ACCURACY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_the_last_epochs_to_a_power() {
        let accuracies = [0.9, 0.5, 0.25, 0.125];
        assert_eq!(Reward::ACCURACY.of(&accuracies), Some(0.125));
        assert_eq!(Reward { last_epochs: 3, power: 2.0 }.of(&accuracies), Some(0.25));
        assert_eq!(Reward { last_epochs: 9, power: 1.0 }.of(&accuracies), Some(0.9));
        assert_eq!(Reward::PAPER.of(&[0.5, -0.5]), Some(0.125));
        assert_eq!(Reward::PAPER.of(&[-0.5]), Some(-0.125));
        assert_eq!(Reward::PAPER.of(&[]), None);
    }
}
