//! `trials.csv`: the trials of a run for other programs.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use nasrl_space::Space;

use crate::{Trial, atomic_file};

/// Appends trials in their order, as soon as all earlier ones are there.
///
/// Columns whose names end in `_at`, `_seconds`, `_per_second` or `_on` depend on when, where or
/// how fast a trial was evaluated; all others are the same in every repetition of the run.
#[derive(Debug)]
pub struct TrialsCsv {
    file: File,
    next: u64,
    /// Trials with an earlier one missing.
    early: BTreeMap<u64, Vec<u8>>,
}

const COLUMNS: [&str; 21] = [
    "trial",
    "strategy",
    "status",
    "tokens",
    "hash",
    "params",
    "flops",
    "validation_accuracy",
    "reward",
    "duplicate_of",
    "log_probability",
    "entropy",
    "redraws",
    "over_limits",
    "restarted",
    "setting",
    "started_at",
    "finished_at",
    "evaluation_seconds",
    "images_per_second",
    "evaluated_on",
];

impl TrialsCsv {
    /// Replaces the file by one of these trials. Numbers below `first` that have none will have
    /// none: they belong to settings that were to be tried and were not.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn create(path: &Path, space: &Space, trials: &[Trial], first: u64) -> io::Result<Self> {
        let rows = trials.iter().map(|trial| (trial.proposed.trial, row(space, trial)));
        let mut before: BTreeMap<u64, Vec<u8>> = rows.collect();
        let mut early = before.split_off(&first);
        let (mut content, mut next) = (line(&COLUMNS.map(str::to_owned)), first);
        content.extend(before.into_values().flatten());
        while let Some(row) = early.remove(&next) {
            content.extend(row);
            next += 1;
        }
        atomic_file::write(path, &content)?;
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(TrialsCsv { file, next, early })
    }

    /// Adds a trial.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn add(&mut self, space: &Space, trial: &Trial) -> io::Result<()> {
        self.early.insert(trial.proposed.trial, row(space, trial));
        let mut content = Vec::new();
        while let Some(row) = self.early.remove(&self.next) {
            content.extend(row);
            self.next += 1;
        }
        self.file.write_all(&content)
    }
}

fn row(space: &Space, trial: &Trial) -> Vec<u8> {
    let Trial { proposed, status, validation_accuracy, reward, duplicate_of, clock, .. } = trial;
    line(&[
        proposed.trial.to_string(),
        proposed.strategy.clone(),
        status.to_string(),
        space.format(&proposed.tokens),
        proposed.hash.to_string(),
        or_empty(proposed.params),
        or_empty(proposed.flops),
        or_empty(*validation_accuracy),
        reward.to_string(),
        or_empty(*duplicate_of),
        or_empty(proposed.log_probability),
        or_empty(proposed.entropy),
        proposed.redraws.to_string(),
        proposed.over_limits.to_string(),
        u8::from(proposed.restarted).to_string(),
        or_empty(proposed.setting),
        clock.started_at.clone(),
        clock.finished_at.clone(),
        or_empty(clock.evaluation_seconds),
        or_empty(clock.images_per_second),
        or_empty(clock.evaluated_on.clone()),
    ])
}

fn line(fields: &[String; COLUMNS.len()]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields).expect("every line has the same number of fields");
    writer.into_inner().expect("memory takes everything")
}

fn or_empty(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
