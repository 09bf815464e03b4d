//! Writes down what happens in a search.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use nasrl_child::Epoch;
use nasrl_space::Space;

use super::{
    BEST, Best, CONTROLLER, LOG, Ledger, POLICY, RETRAINED, Retrained, RunDirectory, RunError,
    TRIALS, TrialsCsv, Variant, facts, io_error,
};
use crate::clock::utc;
use crate::scheduler::{Listener, ListenerError};
use crate::strategy::Strategy;
use crate::{Proposed, Status, Trial, atomic_file};

/// Keeps the directory of a run up to date.
#[derive(Debug)]
pub struct Recorder<'a> {
    space: &'a Space,
    path: PathBuf,
    ledger: Ledger,
    trials: TrialsCsv,
    best: Best,
    log: File,
    /// When the policy was saved last.
    saved: Option<Instant>,
}

/// How often the policy is saved.
const SAVE_EVERY: Duration = Duration::from_secs(10);

impl<'a> Recorder<'a> {
    /// Goes on with a run, and returns the trials that have a result. `first` is the number of the
    /// first trial of what is to be recorded.
    ///
    /// # Errors
    /// [`RunError`] if something of the run cannot be read or written.
    pub fn open(
        run: &RunDirectory,
        ledger: Ledger,
        space: &'a Space,
        first: u64,
    ) -> Result<(Self, Vec<Trial>), RunError> {
        let path = run.path().to_owned();
        let known = ledger.trials(space)?;
        let csv = path.join(TRIALS);
        let trials = TrialsCsv::create(&csv, space, &known, first);
        let trials = trials.map_err(io_error("write", &csv))?;
        let folder = path.join(BEST);
        let best = Best::open(&folder, &known).map_err(io_error("write", &folder))?;
        let file = path.join(LOG);
        let log = OpenOptions::new().append(true).create(true).open(&file);
        let log = log.map_err(io_error("write", &file))?;
        Ok((Recorder { space, path, ledger, trials, best, log, saved: None }, known))
    }

    /// Adds a line to the log, with the time.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn log(&mut self, line: &str) -> Result<(), RunError> {
        let written = writeln!(self.log, "{} {line}", utc(SystemTime::now()));
        written.map_err(|source| self.io("write", LOG, source))
    }

    /// Where to keep how far the training anew of a trial's child for so many epochs has come.
    pub fn checkpoint_of(&self, trial: u64, variant: &Variant, epochs: usize) -> PathBuf {
        variant.checkpoint(&self.path, trial, epochs as u64)
    }

    /// Records a child that was trained again, and its weights; its checkpoint goes.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn retrained(&mut self, retrained: &Retrained, weights: &[u8]) -> Result<(), RunError> {
        let file = self.path.join(RETRAINED).join(retrained.file_name());
        atomic_file::write(&file, weights).map_err(io_error("write", &file))?;
        self.ledger.add_retrained(retrained)?;
        let Retrained { variant, trial, epochs, .. } = retrained;
        // There is none if no epoch came before the last; one that stays does no harm.
        let _ = fs::remove_file(variant.checkpoint(&self.path, *trial, *epochs));
        let test = retrained.test_accuracy.map_or("none".to_owned(), |test| test.to_string());
        self.log(&format!("trial {} retrained: test accuracy {test}", retrained.trial))
    }

    /// The children that were trained again.
    ///
    /// # Errors
    /// [`RunError::Ledger`].
    pub fn all_retrained(&self) -> Result<Vec<Retrained>, RunError> {
        Ok(self.ledger.retrained()?)
    }

    /// When the run was finished, in UTC; `None` if it is not.
    ///
    /// # Errors
    /// [`RunError::Ledger`].
    pub fn finished_at(&self) -> Result<Option<String>, RunError> {
        Ok(self.ledger.fact(facts::FINISHED)?)
    }

    /// Records that nothing is left to do.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn set_finished(&mut self) -> Result<(), RunError> {
        self.ledger.set_fact(facts::FINISHED, &utc(SystemTime::now()))?;
        self.log("finished")
    }

    fn save_policy(&mut self, strategy: &dyn Strategy) -> Result<(), ListenerError> {
        if let Some(bytes) = strategy.checkpoint()? {
            let file = self.path.join(CONTROLLER).join(POLICY);
            atomic_file::write(&file, &bytes).map_err(io_error("write", &file))?;
            self.saved = Some(Instant::now());
        }
        Ok(())
    }

    fn io(&self, action: &'static str, name: &str, source: io::Error) -> RunError {
        RunError::Io { action, path: self.path.join(name), source }
    }
}

impl Listener for Recorder<'_> {
    fn started(&mut self, proposed: &Proposed) -> Result<(), ListenerError> {
        self.ledger.start(self.space, proposed)?;
        let Proposed { trial, strategy, tokens, setting, .. } = proposed;
        let setting = setting.map(|setting| format!(", {setting}")).unwrap_or_default();
        let tokens = self.space.format(tokens);
        Ok(self.log(&format!("trial {trial} of {strategy}: {tokens}{setting}"))?)
    }

    fn epoch(&mut self, trial: u64, epoch: &Epoch) {
        let Epoch { number, loss, training_accuracy, .. } = epoch;
        let validation = epoch.validation_accuracy.map(|v| format!(", validation accuracy {v}"));
        // The ledger has it as well, and says so when the disk is full.
        let _ = self.log(&format!(
            "trial {trial}, epoch {number}: loss {loss}, training accuracy {training_accuracy}{}",
            validation.unwrap_or_default()
        ));
    }

    fn finished(&mut self, trial: &Trial, weights: Option<&[u8]>) -> Result<(), ListenerError> {
        if let (Status::Done, Some(weights)) = (trial.status, weights) {
            let written = self.best.offer(trial, weights);
            written.map_err(|source| self.io("write", BEST, source))?;
        }
        self.ledger.finish(self.space, trial)?;
        self.best.prune().map_err(|source| self.io("write", BEST, source))?;
        let added = self.trials.add(self.space, trial);
        added.map_err(|source| self.io("write", TRIALS, source))?;
        let Trial { proposed, status, reward, detail, .. } = trial;
        let because = detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        Ok(self.log(&format!("trial {} {status}, reward {reward}{because}", proposed.trial))?)
    }

    fn learned(&mut self, strategy: &dyn Strategy) -> Result<(), ListenerError> {
        if self.saved.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY) {
            self.save_policy(strategy)?;
        }
        Ok(())
    }

    fn closed(&mut self, strategy: &dyn Strategy) -> Result<(), ListenerError> {
        self.save_policy(strategy)
    }
}
