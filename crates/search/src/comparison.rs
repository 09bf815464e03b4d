//! A strategy beside its baseline.

use nasrl_tensor::random::{Key, Philox};

/// How much better the rewards of one list of trials are than those of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The difference of the mean rewards.
    pub means: Difference,
    /// The difference of the best rewards.
    pub bests: Difference,
}

/// A difference, and the interval in which it lies in 95 of 100 resamplings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// As measured.
    pub value: f64,
    /// The lower end, the 2.5 % quantile.
    pub low: f64,
    /// The upper end, the 97.5 % quantile.
    pub high: f64,
}

/// How often the trials are resampled.
pub const RESAMPLINGS: usize = 10_000;

impl Comparison {
    /// Compares by the percentile bootstrap (Efron and Tibshirani 1993, "An introduction to the
    /// bootstrap", section 13.3): as many trials as there are, drawn from each list with
    /// replacement, [`RESAMPLINGS`] times. `None` if a list is empty.
    ///
    /// Both lists come from one seed, and the trials of a strategy that learns depend on each
    /// other: the interval tells how much the trials scatter, not what another seed would bring.
    /// The best of a resampling is never better than the best there is, so that the interval of
    /// `bests` is a rough guide only.
    pub fn new(rewards: &[f64], baseline: &[f64]) -> Option<Comparison> {
        if rewards.is_empty() || baseline.is_empty() {
            return None;
        }
        let mut stream = Philox::new(Key::new(0, 0, "bootstrap"));
        let (mut means, mut bests) = (Vec::new(), Vec::new());
        for _ in 0..RESAMPLINGS {
            let [a, b] = [rewards, baseline].map(|rewards| {
                let count = rewards.len() as u32;
                let draws = (0..count).map(|_| rewards[stream.below(count) as usize]);
                draws.fold((0.0, f64::NEG_INFINITY), |(sum, best), r| (sum + r, f64::max(best, r)))
            });
            means.push(a.0 / rewards.len() as f64 - b.0 / baseline.len() as f64);
            bests.push(a.1 - b.1);
        }
        Some(Comparison {
            means: Difference::new(mean(rewards) - mean(baseline), means),
            bests: Difference::new(best(rewards) - best(baseline), bests),
        })
    }
}

impl Difference {
    fn new(value: f64, mut resampled: Vec<f64>) -> Difference {
        resampled.sort_unstable_by(f64::total_cmp);
        let tail = resampled.len() / 40;
        Difference { value, low: resampled[tail], high: resampled[resampled.len() - 1 - tail] }
    }
}

/// The mean; NaN of nothing.
pub fn mean(rewards: &[f64]) -> f64 {
    rewards.iter().sum::<f64>() / rewards.len() as f64
}

/// The largest; minus infinity of nothing.
pub fn best(rewards: &[f64]) -> f64 {
    rewards.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_trials_do_not_scatter() {
        let comparison = Comparison::new(&[0.75; 4], &[0.5; 3]).unwrap();
        let expected = Difference { value: 0.25, low: 0.25, high: 0.25 };
        assert_eq!(comparison, Comparison { means: expected, bests: expected });
        assert_eq!(Comparison::new(&[], &[0.5]), None);
    }

    /// Means of n = 100 draws with variance 1/4 differ with standard deviation sqrt(2/4/100); 1.96
    /// of it on each side, within a tenth.
    #[test]
    fn the_interval_is_that_of_the_normal_distribution() {
        let rewards: Vec<f64> = (0..100).map(|i| f64::from(i % 2)).collect();
        let Comparison { means, bests } = Comparison::new(&rewards, &rewards).unwrap();
        let half = 1.96 * (0.5_f64 / 100.0).sqrt();
        assert_eq!((means.value, bests.value), (0.0, 0.0));
        assert!((means.high / half - 1.0).abs() < 0.1, "{means:?}");
        assert!((-means.low / half - 1.0).abs() < 0.1, "{means:?}");
    }
}
