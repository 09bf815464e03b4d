//! How much the log-probability and the entropy of each sequence count in an objective.

use nasrl_tensor::ops::PolicyWeights;
use nasrl_tensor::{Backend, DType, Result};

/// Weights of log-probabilities and of entropies, a number each for each sequence.
pub(crate) struct Weights<B: Backend> {
    backend: B,
    numbers: [Vec<f32>; 2],
    /// `[capacity]`, as the next.
    all: [B::Buffer; 2],
    /// With zeros for the sequences that do not count at some step.
    some: [B::Buffer; 2],
}

impl<B: Backend> Weights<B> {
    pub(crate) fn new(backend: &B, capacity: usize) -> Result<Self> {
        let pair =
            || Ok([backend.zeros(DType::F32, capacity)?, backend.zeros(DType::F32, capacity)?]);
        Ok(Weights {
            backend: backend.clone(),
            numbers: [vec![], vec![]],
            all: pair()?,
            some: pair()?,
        })
    }

    pub(crate) fn write(&mut self, numbers: [Vec<f32>; 2]) -> Result<()> {
        for (numbers, buffer) in numbers.iter().zip(&mut self.all) {
            self.backend.write(numbers, buffer)?;
        }
        self.numbers = numbers;
        Ok(())
    }

    /// The weights, with zeros for the `idle` sequences.
    pub(crate) fn without(&mut self, idle: &[usize]) -> Result<PolicyWeights<'_, B::Buffer>> {
        let [log_probability, entropy] = match idle {
            [] => &self.all,
            idle => {
                for (numbers, buffer) in self.numbers.iter().zip(&mut self.some) {
                    let mut numbers = numbers.clone();
                    for sequence in idle {
                        numbers[*sequence] = 0.0;
                    }
                    self.backend.write(&numbers, buffer)?;
                }
                &self.some
            }
        };
        Ok(PolicyWeights { log_probability, entropy })
    }
}
