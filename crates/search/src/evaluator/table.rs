//! Rewards from a table of known results.

use std::time::Duration;

use nasrl_child::Epoch;

use super::{Evaluator, Job, Measurement, Outcome};
use crate::table::Table;
use crate::{Failure, Reward, Stop};

/// Looks rewards up. Tokens that are not in the table fail as [`Failure::Invalid`].
#[derive(Debug)]
pub struct TableEvaluator<'a> {
    table: &'a Table,
    reward: Reward,
    delay: Duration,
}

impl<'a> TableEvaluator<'a> {
    /// `reward` is applied to the table's reward as to an accuracy; every look-up takes `delay`,
    /// to imitate an evaluation that takes time.
    pub fn new(table: &'a Table, reward: Reward, delay: Duration) -> Self {
        TableEvaluator { table, reward, delay }
    }
}

impl Evaluator for TableEvaluator<'_> {
    fn evaluate(&self, job: &Job<'_>, stop: &Stop, _: &dyn Fn(&Epoch)) -> Outcome {
        if !stop.sleep(self.delay) {
            return Outcome::Stopped;
        }
        match self.table.reward(job.tokens) {
            Some(reward) => {
                let reward = self.reward.of(&[reward]).unwrap_or(f64::NAN);
                Outcome::Done(Measurement { reward, ..Measurement::default() })
            }
            None => Outcome::Failed(
                Failure::Invalid,
                format!("{} has no row of these tokens", self.table.file()),
            ),
        }
    }
}
