//! What can go wrong with the directory of a run.

use std::io;
use std::path::PathBuf;

use super::LedgerError;
use crate::config::ConfigError;
use crate::strategy::StrategyError;

/// Why a run cannot be made, continued or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A new run where there is one.
    #[error(
        "{} is a run already: go on with it by `nasrl search --resume {}`, choose another --out, or \
         replace it by --force", path.display(), path.display()
    )]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// A new run where there is something else.
    #[error(
        "{} holds {entry:?}, which is no part of a run; choose another --out", path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The first entry that no run has.
        entry: String,
    },
    /// A file in place of a directory.
    #[error("{} is not a directory; choose another --out", path.display())]
    NotADirectory {
        /// The file.
        path: PathBuf,
    },
    /// A directory that is not a run.
    #[error(
        "{} is not a run: there is no {missing} in it; begin one by `nasrl search --out {}`",
        path.display(), path.display()
    )]
    NotARun {
        /// The directory.
        path: PathBuf,
        /// What it lacks.
        missing: &'static str,
    },
    /// Another process works on it.
    #[error(
        "{} is in use by process {process}; wait for it, or stop it first", path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process, as it wrote itself down.
        process: String,
    },
    /// The file system has no locks.
    #[error(
        "{}: this file system has no locks ({source}), so two processes could spoil the run; keep \
         runs on a local disk", path.display()
    )]
    NoLocks {
        /// The lock.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The run has another space.
    #[error(
        "{} is a run of the space {space}, not of this space {found}; start a new run with --out",
        path.display()
    )]
    OtherSpace {
        /// The directory.
        path: PathBuf,
        /// The name of its space.
        space: String,
        /// The name of the space asked for; it can be equal, but the space is not.
        found: String,
    },
    /// The run has another configuration.
    #[error(
        "{} was begun with {key} = {was}, not {is}; leave the option out, or start a new run with \
         --out", path.display()
    )]
    OtherConfig {
        /// The directory.
        path: PathBuf,
        /// The first key that differs.
        key: String,
        /// What it was.
        was: String,
        /// What was asked for.
        is: String,
    },
    /// The configuration of the run was edited.
    #[error(
        "{} was changed since the run began; restore it, or start a new run by --config {} --out",
        path.display(), path.display()
    )]
    ChangedConfig {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refuses something.
    #[error("cannot {action} {}: {source}{}", path.display(), remedy(source))]
    Io {
        /// What was to be done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The space in the ledger.
    #[error(transparent)]
    Space(#[from] nasrl_space::SpaceError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A checkpoint that is not one of the run's policy.
    #[error("{}: {source}; delete it, no run depends on it", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: nasrl_controller::Error,
    },
    /// A strategy that cannot be saved.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
}

/// What the user can do about it.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room on the disk",
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "; make it writable, or choose another place"
        }
        io::ErrorKind::ResourceBusy => {
            "; it is in use as a mount point or a working directory, choose one inside it"
        }
        io::ErrorKind::NotADirectory => "; a part of the path is a file, choose another",
        _ => "",
    }
}
