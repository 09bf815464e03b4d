//! From rewards to advantages.

use crate::{Baseline, RewardScale};

/// All rewards so far, and the scale on which the next is placed among them.
pub(crate) struct Rewards {
    scale: RewardScale,
    history: Vec<f64>,
    ascending: Vec<f64>,
    mean: f64,
    squares: f64,
}

/// An exponential moving average with bias correction.
pub(crate) struct MovingAverage {
    baseline: Baseline,
    decay: f64,
    /// The decaying sum of scaled rewards, and of the weights they came with.
    pub(crate) sums: [f64; 2],
}

impl Rewards {
    pub(crate) fn new(scale: RewardScale) -> Self {
        Rewards { scale, history: vec![], ascending: vec![], mean: 0.0, squares: 0.0 }
    }

    /// Takes the next trial's reward; its value on the scale.
    pub(crate) fn observe(&mut self, reward: f64) -> f64 {
        self.history.push(reward);
        let place = self.ascending.partition_point(|&other| other <= reward);
        self.ascending.insert(place, reward);
        // Welford's recurrence: no cancellation where rewards are close together.
        let count = self.history.len() as f64;
        let distance = reward - self.mean;
        self.mean += distance / count;
        self.squares += distance * (reward - self.mean);
        match self.scale {
            RewardScale::Raw => reward,
            RewardScale::ZScore if self.squares > 0.0 => {
                (reward - self.mean) / (self.squares / count).sqrt()
            }
            RewardScale::ZScore => 0.0,
            RewardScale::Rank => {
                let below = self.ascending.partition_point(|&other| other < reward);
                let equal = (place + 1 - below) as f64;
                normal_quantile(((below as f64 + equal / 2.0) / count).clamp(0.001, 0.999))
            }
        }
    }

    /// The rewards in trial order.
    pub(crate) fn history(&self) -> &[f64] {
        &self.history
    }

    /// The mean of the last `count` rewards, of fewer at the start; `None` before the first.
    pub(crate) fn recent(&self, count: usize) -> Option<f64> {
        let recent = &self.history[self.history.len().saturating_sub(count)..];
        (!recent.is_empty()).then(|| recent.iter().sum::<f64>() / recent.len() as f64)
    }
}

impl MovingAverage {
    pub(crate) fn new(baseline: Baseline, decay: f64) -> Self {
        MovingAverage { baseline, decay, sums: [0.0; 2] }
    }

    /// Takes the next scaled reward; by how much it exceeds its baseline.
    pub(crate) fn advantage(&mut self, scaled: f64) -> f64 {
        let earlier = self.value().unwrap_or(scaled);
        let [sum, weight] = &mut self.sums;
        *sum = self.decay * *sum + (1.0 - self.decay) * scaled;
        *weight = self.decay * *weight + (1.0 - self.decay);
        scaled
            - match self.baseline {
                Baseline::Earlier => earlier,
                Baseline::Including => *sum / *weight,
            }
    }

    /// The average; `None` before the first reward.
    pub(crate) fn value(&self) -> Option<f64> {
        let [sum, weight] = self.sums;
        (weight > 0.0).then(|| sum / weight)
    }

    /// Forgets all rewards.
    pub(crate) fn clear(&mut self) {
        self.sums = [0.0; 2];
    }
}

/// The standard normal quantile of `p` in [1e-10, 1 - 1e-10], to about seven digits (Wichura 1988,
/// "The percentage points of the normal distribution", algorithm AS 241, PPND7).
fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        let above = [3.3871327179, 50.434271938, 159.29113202, 59.109374720];
        let below = [1.0, 17.895169469, 78.757757664, 67.187563600];
        return q * polynomial(&above, r) / polynomial(&below, r);
    }
    let r = (-p.min(1.0 - p).ln()).sqrt() - 1.6;
    let above = [1.4234372777, 2.7568153900, 1.3067284816, 0.17023821103];
    let below = [1.0, 0.73700164250, 0.12021132975];
    (polynomial(&above, r) / polynomial(&below, r)).copysign(q)
}

/// The polynomial with these coefficients, the constant first.
fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (p, z) in [
            (0.5, 0.0),
            (0.75, 0.674_489_750_2),
            (0.925, 1.439_531_471),
            (0.975, 1.959_963_985),
            (0.999, 3.090_232_306),
        ] {
            assert!((normal_quantile(p) - z).abs() < 1e-6, "{p}");
            assert!((normal_quantile(1.0 - p) + z).abs() < 1e-6, "1 - {p}");
        }
    }

    #[test]
    fn ranks_are_mid_ranks_among_the_trials_so_far() {
        let mut rewards = Rewards::new(RewardScale::Rank);
        let scaled: Vec<f64> =
            [0.3, 0.5, 0.1, 0.5, 0.3].into_iter().map(|reward| rewards.observe(reward)).collect();
        let quantiles = [0.5, 0.75, 0.5 / 3.0, 0.75, 0.4];
        assert_eq!(scaled, quantiles.map(normal_quantile));
        let mut rewards = Rewards::new(RewardScale::Rank);
        let last = (0..1000).map(|trial| rewards.observe(f64::from(trial))).last();
        assert_eq!(last, Some(normal_quantile(0.999)));
    }

    #[test]
    fn z_scores_use_the_trials_so_far() {
        let mut rewards = Rewards::new(RewardScale::ZScore);
        let scaled = [2.0, 2.0, 5.0, 3.0].map(|reward| rewards.observe(reward));
        assert_eq!(scaled[..2], [0.0, 0.0]);
        assert!((scaled[2] - 2.0 / 2.0f64.sqrt()).abs() < 1e-12);
        assert!(scaled[3].abs() < 1e-12);
    }

    #[test]
    fn the_baseline_counts_a_trial_in_or_not() {
        let advantages = |baseline| {
            let mut average = MovingAverage::new(baseline, 0.5);
            [4.0, 8.0, 2.0].map(|scaled| average.advantage(scaled))
        };
        // Averages with bias correction: 4, 20/3, 4.
        assert_eq!(advantages(Baseline::Earlier), [0.0, 4.0, 2.0 - 5.0 / 0.75]);
        assert_eq!(advantages(Baseline::Including), [0.0, 8.0 - 5.0 / 0.75, 2.0 - 3.5 / 0.875]);
    }
}
