//! Passes over a split.

use nasrl_tensor::Backend;

use super::resident::Ahead;
use super::{Batch, Program, Score};
use crate::TrainError;
use crate::data::Split;

/// The batches of a pass over a split: an iterator over their scores, in their order.
///
/// What a batch asks of the device is asked for when its score is: at once on the processor, and on
/// a device that holds the split for some hundred batches together, so that a pass that is given up
/// may have trained on more of them than it gave scores of.
pub struct Pass<'a, B: Backend> {
    program: &'a mut Program<B>,
    split: &'a Split,
    order: &'a [u32],
    /// The rates of steps; none to measure.
    rates: Option<&'a [f64]>,
    /// How many batches there are, and of how many the score was given.
    batches: usize,
    given: usize,
    /// None where each batch comes from the host.
    ahead: Option<Ahead>,
}

impl<'a, B: Backend> Pass<'a, B> {
    pub(super) fn new(
        program: &'a mut Program<B>,
        split: &'a Split,
        order: &'a [u32],
        rates: Option<&'a [f64]>,
    ) -> Result<Self, TrainError> {
        let most = order.len().div_ceil(program.recipe.batch);
        let batches = rates.map_or(most, <[f64]>::len);
        assert!(batches <= most, "{batches} rates for {most} batches");
        assert!(order.iter().all(|&image| (image as usize) < split.len()), "no image of the split");
        let ahead = program.begin(split, order, rates)?;
        Ok(Pass { program, split, order, rates, batches, given: 0, ahead })
    }

    /// The score of a batch whose images the host brings.
    fn batch(&mut self, number: usize) -> Result<Score, TrainError> {
        let size = self.program.recipe.batch;
        let first = number * size;
        let indices = &self.order[first..self.order.len().min(first + size)];
        let batch = Batch { split: self.split, indices };
        match self.rates {
            Some(rates) => {
                let score = self.program.backpropagate(&batch)?;
                self.program.update(rates[number])?;
                Ok(score)
            }
            None => self.program.infer(&batch),
        }
    }
}

impl<B: Backend> Iterator for Pass<'_, B> {
    type Item = Result<Score, TrainError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.given == self.batches {
            return None;
        }
        let number = self.given;
        self.given += 1;
        let score = match &mut self.ahead {
            Some(ahead) => self.program.score_of(ahead, number),
            None => self.batch(number),
        };
        // After an error there is nothing to go on with.
        if score.is_err() {
            self.given = self.batches;
        }
        Some(score)
    }
}
