//! The directory of a run, which is safe to kill at any instant.
//!
//! - `config.toml`: the configuration as it was resolved; `--config` reads it again.
//! - `ledger.sqlite`: all trials, see [`Ledger`]. The truth about the run.
//! - `trials.csv`: the same for other programs, see [`TrialsCsv`].
//! - `best/`: the weights of the ten best children, `trial-<number>.safetensors`.
//! - `controller/`: the policy as of late, for looking at it ([`RunRecord::policy`]) or as a start
//!   for another search. Resuming does not need it: it repeats the search with the results in the
//!   ledger.
//! - `retrained/`: the weights of children that were trained again after the search.
//! - `search.log`: what happened when.
//! - `lock`: locked by the process that works on the run, which is named in it.

mod best;
mod error;
mod facts;
mod ledger;
mod record;
mod recorder;
mod retrained;
mod trials_csv;

pub use best::Best;
pub use error::RunError;
pub use ledger::{Ledger, LedgerError, LedgerProblem};
pub use record::{RunRecord, read_config};
pub use recorder::Recorder;
pub use retrained::{Retrained, TrainedOn, Variant};
pub use trials_csv::TrialsCsv;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nasrl_space::Space;

use crate::atomic_file;
use crate::clock::utc;
use crate::config::Config;
use crate::problem::Problem;

/// A run that this process works on; no other can meanwhile.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    /// Locked until it is closed, even if that is because the process was killed.
    _lock: File,
}

/// What to do about a run that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leave it alone.
    Refuse,
    /// Delete it.
    Replace,
}

const CONFIG: &str = "config.toml";
const LEDGER: &str = "ledger.sqlite";
const TRIALS: &str = "trials.csv";
const CONTROLLER: &str = "controller";
const POLICY: &str = "policy.safetensors";
const BEST: &str = "best";
const RETRAINED: &str = "retrained";
const LOG: &str = "search.log";
const LOCK: &str = "lock";
/// Everything that a run may consist of.
const ENTRIES: [&str; 11] = [
    CONFIG,
    LEDGER,
    "ledger.sqlite-wal",
    "ledger.sqlite-shm",
    "ledger.sqlite-journal",
    TRIALS,
    CONTROLLER,
    BEST,
    RETRAINED,
    LOG,
    LOCK,
];

impl RunDirectory {
    /// A new run: the directory appears complete or not at all. A run that is to be replaced is
    /// deleted once the new one is ready.
    ///
    /// # Errors
    /// [`RunError`]; nothing was written then.
    pub fn create(
        path: &Path,
        config: &Config,
        problem: &Problem,
        existing: Existing,
    ) -> Result<RunDirectory, RunError> {
        let replaced = examine(path, existing)?;
        let beside = atomic_file::partial(path);
        let parent = path.parent().unwrap_or(Path::new(""));
        let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let missing: Vec<&Path> = parent.ancestors().take_while(is_missing).collect();
        fs::create_dir_all(parent).map_err(io_error("create", parent))?;
        // Where tidying up fails as well, what went wrong first is what the user has to know.
        let filled = remove_leftover(&beside).and_then(|()| {
            let filled = fill(&beside, config, problem).and_then(|lock| {
                if replaced.is_some() {
                    fs::remove_dir_all(path).map_err(io_error("remove", path))?;
                }
                fs::rename(&beside, path).map_err(io_error("create", path))?;
                atomic_file::sync_folder(path).map_err(io_error("create", path))?;
                Ok(lock)
            });
            filled.inspect_err(|_| drop(fs::remove_dir_all(&beside)))
        });
        let filled = filled.inspect_err(|_| drop(missing.into_iter().try_for_each(fs::remove_dir)));
        Ok(RunDirectory { path: path.into(), _lock: filled? })
    }

    /// A run to go on with.
    ///
    /// # Errors
    /// [`RunError`] if it is none, or in use.
    pub fn open(path: &Path) -> Result<RunDirectory, RunError> {
        require_run(path)?;
        Ok(RunDirectory { path: path.into(), _lock: lock(path)? })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its ledger.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn ledger(&self) -> Result<Ledger, RunError> {
        Ok(Ledger::open(&self.path.join(LEDGER))?)
    }

    /// Refuses to go on with another configuration than the run began with; `space` is that of
    /// `config`, or that of the run where nothing can be opened.
    ///
    /// # Errors
    /// [`RunError::OtherSpace`], [`RunError::OtherConfig`] or [`RunError::ChangedConfig`].
    pub fn check(
        &self,
        ledger: &Ledger,
        recorded: &Config,
        config: &Config,
        space: &Space,
    ) -> Result<(), RunError> {
        let path = self.path.clone();
        let fact = |name| Ok::<_, RunError>(ledger.fact(name)?.unwrap_or_default());
        let (expected, found) = (fact(facts::SPACE)?, space.digest().to_string());
        if expected != found && recorded.depth == config.depth {
            let definition = fact(facts::DEFINITION)?;
            let space_name = Space::from_toml(&definition, "").map(|space| space.name().to_owned());
            let (run_space, found) = (space_name.unwrap_or_default(), space.name().to_owned());
            return Err(RunError::OtherSpace { path, space: run_space, found });
        }
        if fact(facts::CONFIG)? == facts::config_digest(config) {
            return Ok(());
        }
        Err(match facts::first_difference(recorded, config) {
            Some((key, was, is)) => RunError::OtherConfig { path, key, was, is },
            None => RunError::ChangedConfig { path: path.join(CONFIG) },
        })
    }
}

/// Whether a new run may be made here. The lock of the run that it replaces, if there is one.
fn examine(path: &Path, existing: Existing) -> Result<Option<File>, RunError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(reason) if reason.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(reason) if reason.kind() == io::ErrorKind::NotADirectory && path.exists() => {
            return Err(RunError::NotADirectory { path: path.into() });
        }
        Err(reason) => return Err(io_error("read", path)(reason)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(io_error("read", path))?.file_name());
    }
    if names.is_empty() {
        return Ok(None);
    }
    if let Some(foreign) = names.iter().find(|name| !is_part(name)) {
        let entry = foreign.to_string_lossy().into_owned();
        return Err(RunError::Foreign { path: path.into(), entry });
    }
    if existing == Existing::Refuse {
        return Err(RunError::Exists { path: path.into() });
    }
    lock(path).map(Some)
}

/// Whether a run may consist of it, or a killed process leave it of an atomic write.
fn is_part(name: &OsString) -> bool {
    let is = |part: &str| name == part || *name == *atomic_file::partial(Path::new(part));
    ENTRIES.into_iter().any(is)
}

/// Removes what a killed process left of a directory that was to become a run.
fn remove_leftover(beside: &Path) -> Result<(), RunError> {
    let _lock = beside.join(LOCK).exists().then(|| lock(beside)).transpose()?;
    match fs::remove_dir_all(beside) {
        Err(reason) if reason.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", beside)(reason))
        }
        _ => Ok(()),
    }
}

/// Makes a directory that is a complete run without trials, and locks it.
fn fill(folder: &Path, config: &Config, problem: &Problem) -> Result<File, RunError> {
    let space = problem.space();
    let images = problem.images().as_ref().map(facts::write_images).unwrap_or_default();
    for path in [folder.into(), folder.join(CONTROLLER), folder.join(BEST), folder.join(RETRAINED)]
    {
        fs::create_dir(&path).map_err(io_error("create", &path))?;
    }
    let lock = lock(folder)?;
    let path = folder.join(CONFIG);
    atomic_file::write(&path, config.to_toml().as_bytes()).map_err(io_error("write", &path))?;
    let path = folder.join(TRIALS);
    TrialsCsv::create(&path, space, &[], 0).map_err(io_error("write", &path))?;
    let path = folder.join(LOG);
    File::create(&path).map_err(io_error("write", &path))?;
    Ledger::create(
        &folder.join(LEDGER),
        &[
            (facts::VERSION, env!("CARGO_PKG_VERSION")),
            (facts::CREATED, &utc(SystemTime::now())),
            (facts::SPACE, &space.digest().to_string()),
            (facts::DEFINITION, &space.to_toml()),
            (facts::IMAGES, &images),
            (facts::CONFIG, &facts::config_digest(config)),
        ],
    )?;
    Ok(lock)
}

fn lock(run: &Path) -> Result<File, RunError> {
    let path = run.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            // The lock alone counts; the name in it is for the user.
            let _ = file.read_to_string(&mut process);
            return Err(RunError::InUse { path: run.into(), process: process.trim().to_owned() });
        }
        Err(TryLockError::Error(source)) => return Err(RunError::NoLocks { path, source }),
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(io_error("write", &path))?;
    Ok(file)
}

fn require_run(path: &Path) -> Result<(), RunError> {
    match [CONFIG, LEDGER].into_iter().find(|name| !path.join(name).is_file()) {
        Some(missing) => Err(RunError::NotARun { path: path.into(), missing }),
        None => Ok(()),
    }
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> RunError + 'a {
    move |source| RunError::Io { action, path: path.into(), source }
}
