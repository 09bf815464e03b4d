//! Reading runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nasrl_controller::Policy;
use nasrl_space::Space;
use nasrl_tensor::Cpu;

use super::{
    BEST, Best, CONFIG, CONTROLLER, LEDGER, Ledger, POLICY, Retrained, RunError, facts, io_error,
    require_run,
};
use crate::config::{Config, Layers};
use crate::{Images, Trial};

/// A run to look at, whether or not a process works on it.
#[derive(Debug)]
pub struct RunRecord {
    /// Where it is.
    pub path: PathBuf,
    /// Its configuration.
    pub config: Config,
    /// Its space; that of a table if it has one.
    pub space: Space,
    /// What its networks are built for; `None` with a table.
    pub images: Option<Images>,
    /// Its trials, those of tuning last.
    pub trials: Vec<Trial>,
    /// The children that were trained again.
    pub retrained: Vec<Retrained>,
    /// The trials that are being evaluated, or were when the process was killed.
    pub unfinished: Vec<(u64, String)>,
    /// When all of it was done, in UTC; `None` if it can be resumed.
    pub finished_at: Option<String>,
}

impl RunRecord {
    /// Reads a run.
    ///
    /// # Errors
    /// [`RunError`] if it is none.
    pub fn read(path: &Path) -> Result<RunRecord, RunError> {
        require_run(path)?;
        let config = read_config(path)?;
        let ledger = Ledger::open_read_only(&path.join(LEDGER))?;
        let text = ledger.fact(facts::DEFINITION)?.unwrap_or_default();
        let space = Space::from_toml(&text, &path.join(LEDGER).display().to_string())?;
        Ok(RunRecord {
            path: path.into(),
            config,
            images: ledger.fact(facts::IMAGES)?.as_deref().and_then(facts::read_images),
            trials: ledger.trials(&space)?,
            retrained: ledger.retrained()?,
            unfinished: ledger.unfinished()?,
            finished_at: ledger.fact(facts::FINISHED)?,
            space,
        })
    }

    /// The policy as it was saved last; `None` of a strategy without one.
    ///
    /// # Errors
    /// [`RunError::Io`] if it cannot be read, [`RunError::Policy`] if it is not that of the run.
    pub fn policy(&self) -> Result<Option<Policy<Cpu>>, RunError> {
        let path = self.path.join(CONTROLLER).join(POLICY);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(reason) if reason.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(reason) => return Err(io_error("read", &path)(reason)),
        };
        let policy = Policy::restore(&Cpu::serial(), &self.space, &self.config.controller, &bytes);
        policy.map(Some).map_err(|source| RunError::Policy { path, source })
    }

    /// The file with the weights that a trial had in the search; `None` if it is not among the
    /// best.
    pub fn weights(&self, trial: u64) -> Option<PathBuf> {
        Some(Best::file(&self.path.join(BEST), trial)).filter(|path| path.exists())
    }
}

/// The configuration that a run began with.
///
/// # Errors
/// [`RunError`] if it is no run, or its configuration was spoilt.
pub fn read_config(run: &Path) -> Result<Config, RunError> {
    require_run(run)?;
    let mut layers = Layers::new();
    layers.file(&run.join(CONFIG))?;
    Ok(layers.resolve()?)
}
