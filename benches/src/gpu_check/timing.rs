use std::time::{Duration, Instant};

use serde::Serialize;

use super::Budget;

/// How often a thing is timed.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// How many samples a median is of.
    pub samples: usize,
    /// What a sample takes at least: repeats of short things are timed together.
    pub sample: Duration,
    /// What repeats before the first sample take at least.
    pub warm_up: Duration,
    /// Repeats that are recorded as one graph, where what a GPU takes without the host is timed.
    pub recorded: usize,
}

/// What a repeat takes, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// The median of the samples.
    pub median_us: f64,
    /// The fastest sample.
    pub least_us: f64,
    /// The slowest sample.
    pub most_us: f64,
    /// How many samples there are.
    pub samples: usize,
    /// Repeats in each of them.
    pub repeats: usize,
}

/// Repeats that are timed together at most.
const MOST_REPEATS: usize = 10_000;

impl Sampling {
    /// Times `run`, which queues work that `wait` waits for: repeats are queued one after another
    /// and waited for together, so that what counts is the slower of the host and the GPU. Once the
    /// time is over, no sample but the first is taken.
    ///
    /// # Errors
    /// Those of `run` and of `wait`.
    pub fn time<E>(
        &self,
        budget: Budget,
        mut run: impl FnMut() -> Result<(), E>,
        wait: impl Fn() -> Result<(), E>,
    ) -> Result<Timing, E> {
        let mut repeat = |repeats: usize| {
            let started = Instant::now();
            (0..repeats).try_for_each(|_| run())?;
            wait()?;
            Ok::<_, E>(started.elapsed())
        };
        // Compiles and loads kernels.
        repeat(1)?;
        let (mut repeats, mut spent) = (1, Duration::ZERO);
        loop {
            let taken = repeat(repeats)?;
            spent += taken;
            let long_enough = taken >= self.sample || repeats >= MOST_REPEATS;
            if long_enough && spent >= self.warm_up || budget.is_over() {
                break;
            }
            if !long_enough {
                repeats = (2 * repeats).min(MOST_REPEATS);
            }
        }
        let mut samples = Vec::new();
        while samples.is_empty() || (samples.len() < self.samples && !budget.is_over()) {
            samples.push(repeat(repeats)?.as_secs_f64() * 1e6 / repeats as f64);
        }
        Ok(of_samples(samples, repeats))
    }
}

impl Timing {
    /// The time of one of `parts` equal parts of a repeat.
    pub(super) fn divided(self, parts: usize) -> Self {
        let each = |whole: f64| whole / parts as f64;
        Timing {
            median_us: each(self.median_us),
            least_us: each(self.least_us),
            most_us: each(self.most_us),
            ..self
        }
    }

    /// `amount` a repeat, in units of 10^9 a second.
    pub fn giga_per_second(&self, amount: u64) -> f64 {
        amount as f64 / (self.median_us * 1e3)
    }
}

/// Samples, of which there is one at least, of so many repeats each.
pub(super) fn of_samples(mut samples: Vec<f64>, repeats: usize) -> Timing {
    samples.sort_unstable_by(f64::total_cmp);
    Timing {
        median_us: median(&samples),
        least_us: samples[0],
        most_us: samples[samples.len() - 1],
        samples: samples.len(),
        repeats,
    }
}

/// The median of sorted numbers, of which there is one; of an even number the mean of the middle
/// two.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len().is_multiple_of(2) {
        true => (sorted[middle - 1] + sorted[middle]) / 2.0,
        false => sorted[middle],
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn repeats_grow_until_a_sample_is_long_enough() {
        let sampling = Sampling {
            samples: 4,
            sample: Duration::from_millis(2),
            warm_up: Duration::from_millis(4),
            recorded: 1,
        };
        let runs = Cell::new(0);
        let mut run = || {
            runs.set(runs.get() + 1);
            std::thread::sleep(Duration::from_micros(300));
            Ok::<_, Infallible>(())
        };
        let Ok(timing) = sampling.time(Budget::new(Duration::MAX), &mut run, || Ok(()));
        assert!(timing.repeats > 1 && timing.samples == 4 && runs.get() >= 4 * timing.repeats);
        assert!(timing.least_us >= 300.0 && timing.least_us <= timing.median_us);
        assert!(timing.median_us <= timing.most_us);
        assert_eq!(Timing { median_us: 2.0, ..timing }.giga_per_second(6_000), 3.0);
        let Ok(short) = sampling.time(Budget::new(Duration::ZERO), &mut run, || Ok(()));
        assert_eq!((short.samples, short.repeats), (1, 1));
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
    }
}
