//! What can be wrong with a ledger.

use std::path::PathBuf;

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct LedgerError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: LedgerProblem,
}

/// What is wrong with a ledger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerProblem {
    /// SQLite failed.
    #[error("{source}{}", remedy(source))]
    Sqlite {
        /// What it says.
        #[from]
        source: rusqlite::Error,
    },
    /// It was written by another version.
    #[error(
        "is of format {found}, this version reads {}; use the version that wrote it",
        super::FORMAT
    )]
    Format {
        /// The format found.
        found: i64,
    },
    /// A trial that makes no sense.
    #[error("trial {trial}: {reason}; the ledger was changed by something else")]
    Trial {
        /// The trial.
        trial: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// What the user can do about an error of SQLite.
fn remedy(error: &rusqlite::Error) -> &'static str {
    // What SQLite calls it when the memory that its processes share cannot grow.
    let is_full = |error: &rusqlite::ffi::Error| error.extended_code == SQLITE_IOERR_SHMSIZE;
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "; make room on the disk",
        Some(_) if error.sqlite_error().is_some_and(is_full) => "; make room on the disk",
        Some(ErrorCode::ReadOnly) => "; make the folder writable",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "; another program holds it locked, end that first"
        }
        Some(ErrorCode::FileLockingProtocolFailed | ErrorCode::SystemIoFailure) => {
            "; the disk fails, or is a network file system without locks: keep runs on a local disk"
        }
        Some(ErrorCode::CannotOpen) => "; it is missing, or may not be read",
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "; it is damaged: start a new run, or restore it from a copy"
        }
        _ => "",
    }
}
