//! Which trial of a run a command is about.

use nasrl_search::Trial;
use nasrl_search::run::RunRecord;

use crate::exit::{CommandError, refused};

/// A trial by its number, or the best of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Best,
    Number(u64),
}

impl std::str::FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Which, String> {
        match text {
            "best" => Ok(Which::Best),
            number => number
                .parse()
                .map(Which::Number)
                .map_err(|_| "expected the number of a trial, or `best`".to_owned()),
        }
    }
}

impl Which {
    /// The trial that it is in a run.
    pub(crate) fn of(self, record: &RunRecord) -> Result<&Trial, CommandError> {
        match self {
            Which::Number(number) => {
                let found = record.trials.iter().find(|trial| trial.proposed.trial == number);
                found.ok_or_else(|| unknown_trial(record, number))
            }
            Which::Best => Trial::ranking(&record.trials).first().copied().ok_or_else(|| {
                refused(format!("{} has no trial with a result yet", record.path.display()))
            }),
        }
    }
}

/// A trial that the run does not have.
fn unknown_trial(record: &RunRecord, number: u64) -> CommandError {
    let finished = record.trials.len();
    let last = record.trials.last().map_or(0, |trial| trial.proposed.trial);
    refused(format!(
        "{} has no result of trial {number}: it has {finished}, numbered up to {last}",
        record.path.display()
    ))
}
