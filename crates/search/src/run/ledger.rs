//! The trials of a run in SQLite.
//!
//! The ledger is the truth about a run. It is in write-ahead mode: whoever reads never holds the
//! writer up, and a killed process loses at most the transaction it was in. After a loss of power
//! the latest trials may be missing, which resuming evaluates again.

mod error;

pub use error::{LedgerError, LedgerProblem};

use std::path::{Path, PathBuf};
use std::time::Duration;

use nasrl_child::Epoch;
use nasrl_space::Space;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::Retrained;
use crate::{Clock, Proposed, Trial};

/// The ledger of a run.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    connection: Connection,
}

/// `user_version` of the database.
const FORMAT: i64 = 2;
/// How long to wait for another process that has locked the database, as a backup may.
const PATIENCE: Duration = Duration::from_secs(30);

const SCHEMA: &str = "
    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    -- `status` is NULL while a trial is being evaluated.
    CREATE TABLE trials (
        trial INTEGER PRIMARY KEY, strategy TEXT NOT NULL, status TEXT, tokens TEXT NOT NULL,
        hash TEXT NOT NULL, params INTEGER, flops INTEGER, validation_accuracy REAL, reward REAL,
        duplicate_of INTEGER, log_probability REAL, entropy REAL, redraws INTEGER NOT NULL,
        restarted INTEGER NOT NULL, detail TEXT, started_at TEXT, finished_at TEXT,
        evaluation_seconds REAL, images_per_second REAL, evaluated_on TEXT,
        over_limits INTEGER NOT NULL, setting TEXT);
    -- Each grid of settings that was tried, and the numbers that its trials have.
    CREATE TABLE tunings (
        first INTEGER PRIMARY KEY, count INTEGER NOT NULL, grid TEXT UNIQUE NOT NULL);
    CREATE TABLE epochs (
        trial INTEGER NOT NULL, epoch INTEGER NOT NULL, loss REAL NOT NULL,
        training_accuracy REAL NOT NULL, validation_accuracy REAL, images_per_second REAL NOT NULL,
        PRIMARY KEY (trial, epoch)) WITHOUT ROWID;
    CREATE TABLE retrained (
        trial INTEGER NOT NULL, epochs INTEGER NOT NULL, validation_accuracy REAL,
        test_accuracy REAL, finished_at TEXT NOT NULL, training_seconds REAL NOT NULL,
        variant TEXT NOT NULL);
";

const INSERT_TRIAL: &str = "
    INSERT OR REPLACE INTO trials VALUES
        (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
        ?21, ?22)";

impl Ledger {
    /// A new ledger with these facts about the run, complete when this returns.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be written.
    pub fn create(path: &Path, facts: &[(&str, &str)]) -> Result<(), LedgerError> {
        in_file(path, || {
            let mut connection = Connection::open(no_uri(path))?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            let transaction = connection.transaction()?;
            transaction.execute_batch(SCHEMA)?;
            for (name, value) in facts {
                transaction.execute("INSERT INTO facts VALUES (?1, ?2)", [name, value])?;
            }
            transaction.pragma_update(None, "user_version", FORMAT)?;
            transaction.commit()?;
            connection.close().map_err(|(_, reason)| reason)?;
            Ok(())
        })
    }

    /// Opens a ledger to go on with it.
    ///
    /// # Errors
    /// [`LedgerError`] if it is none, or of another version, or cannot be written.
    pub fn open(path: &Path) -> Result<Ledger, LedgerError> {
        in_file(path, || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(no_uri(path), flags)?;
            connection.busy_timeout(PATIENCE)?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.pragma_update(None, "synchronous", "normal")?;
            Ledger::checked(path, connection)
        })
    }

    /// Opens a ledger to look at it, even while a search goes on, or in a place that cannot be
    /// written.
    ///
    /// # Errors
    /// [`LedgerError`] if it is none, or of another version.
    pub fn open_read_only(path: &Path) -> Result<Ledger, LedgerError> {
        let open = |name: &Path, flags| -> Result<Ledger, LedgerProblem> {
            let connection = Connection::open_with_flags(name, flags)?;
            connection.busy_timeout(PATIENCE)?;
            Ledger::checked(path, connection)
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        in_file(path, || {
            open(&no_uri(path), flags).or_else(|refused| {
                // Write-ahead mode needs a file beside the database. Where none can be made, nobody
                // writes either, which is what `immutable` promises.
                let uri = format!("file:{}?immutable=1", percent_encoded(&path.to_string_lossy()));
                open(Path::new(&uri), flags | OpenFlags::SQLITE_OPEN_URI).map_err(|_| refused)
            })
        })
    }

    fn checked(path: &Path, connection: Connection) -> Result<Ledger, LedgerProblem> {
        let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match found {
            FORMAT => Ok(Ledger { path: path.into(), connection }),
            found => Err(LedgerProblem::Format { found }),
        }
    }

    /// A fact about the run.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be read.
    pub fn fact(&self, name: &str) -> Result<Option<String>, LedgerError> {
        in_file(&self.path, || {
            let mut query =
                self.connection.prepare_cached("SELECT value FROM facts WHERE name = ?1")?;
            Ok(query.query_row([name], |row| row.get(0)).optional()?)
        })
    }

    /// Records a fact, in place of an earlier one of the same name.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be written.
    pub fn set_fact(&self, name: &str, value: &str) -> Result<(), LedgerError> {
        in_file(&self.path, || {
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO facts VALUES (?1, ?2)")?
                .execute([name, value])?;
            Ok(())
        })
    }

    /// Records that a trial is about to be evaluated.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be written.
    pub fn start(&self, space: &Space, proposed: &Proposed) -> Result<(), LedgerError> {
        in_file(&self.path, || insert(&self.connection, space, proposed, None))
    }

    /// Records a result.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be written; nothing of the trial was then.
    pub fn finish(&mut self, space: &Space, finished: &Trial) -> Result<(), LedgerError> {
        let connection = &mut self.connection;
        in_file(&self.path, || {
            let transaction = connection.transaction()?;
            let trial = finished.proposed.trial;
            insert(&transaction, space, &finished.proposed, Some(finished))?;
            for epoch in &finished.epochs {
                let insert = "INSERT OR REPLACE INTO epochs VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                transaction.prepare_cached(insert)?.execute(params![
                    trial,
                    epoch.number,
                    epoch.loss,
                    epoch.training_accuracy,
                    epoch.validation_accuracy,
                    epoch.images_per_second,
                ])?;
            }
            Ok(transaction.commit()?)
        })
    }

    /// The trials that have a result, in order. `space` is that of the run.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be read, or holds trials of another space.
    pub fn trials(&self, space: &Space) -> Result<Vec<Trial>, LedgerError> {
        in_file(&self.path, || {
            let mut query = self
                .connection
                .prepare("SELECT * FROM trials WHERE status IS NOT NULL ORDER BY trial")?;
            let mut rows = query.query([])?;
            let mut trials = Vec::new();
            while let Some(row) = rows.next()? {
                trials.push(self.read(space, row)?);
            }
            Ok(trials)
        })
    }

    /// The trials that are being evaluated, or were when the process was killed, with their tokens.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be read.
    pub fn unfinished(&self) -> Result<Vec<(u64, String)>, LedgerError> {
        in_file(&self.path, || {
            let mut query = self
                .connection
                .prepare("SELECT trial, tokens FROM trials WHERE status IS NULL ORDER BY trial")?;
            let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn read(&self, space: &Space, row: &Row<'_>) -> Result<Trial, LedgerProblem> {
        let trial: u64 = row.get("trial")?;
        let wrong =
            |reason: &dyn ToString| LedgerProblem::Trial { trial, reason: reason.to_string() };
        let text = |column: &str| row.get::<_, String>(column);
        let mut query = self
            .connection
            .prepare_cached("SELECT * FROM epochs WHERE trial = ?1 ORDER BY epoch")?;
        let epochs = query.query_map([trial], |row| {
            Ok(Epoch {
                number: row.get("epoch")?,
                loss: row.get("loss")?,
                training_accuracy: row.get("training_accuracy")?,
                validation_accuracy: row.get("validation_accuracy")?,
                images_per_second: row.get("images_per_second")?,
            })
        })?;
        let setting: Option<String> = row.get("setting")?;
        let setting = setting.map(|setting| setting.parse()).transpose();
        Ok(Trial {
            proposed: Proposed {
                trial,
                strategy: row.get("strategy")?,
                tokens: space.parse(&text("tokens")?).map_err(|error| wrong(&error))?,
                setting: setting.map_err(|error| wrong(&error))?,
                hash: text("hash")?.parse().map_err(|error| wrong(&error))?,
                params: row.get("params")?,
                flops: row.get("flops")?,
                log_probability: row.get("log_probability")?,
                entropy: row.get("entropy")?,
                redraws: row.get("redraws")?,
                over_limits: row.get("over_limits")?,
                restarted: row.get("restarted")?,
            },
            status: text("status")?.parse().map_err(|error| wrong(&error))?,
            validation_accuracy: row.get("validation_accuracy")?,
            reward: row.get("reward")?,
            duplicate_of: row.get("duplicate_of")?,
            detail: row.get("detail")?,
            epochs: epochs.collect::<Result<_, _>>()?,
            clock: Clock {
                started_at: text("started_at")?,
                finished_at: text("finished_at")?,
                evaluation_seconds: row.get("evaluation_seconds")?,
                images_per_second: row.get("images_per_second")?,
                evaluated_on: row.get("evaluated_on")?,
            },
        })
    }

    /// The number of the first trial of a grid of so many settings: that which it was given before,
    /// or else the next that no trial and no other grid has.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be written.
    pub fn first_of_tuning(&self, grid: &str, count: u64) -> Result<u64, LedgerError> {
        in_file(&self.path, || {
            let insert = "
                INSERT OR IGNORE INTO tunings SELECT 1 + max(
                    (SELECT coalesce(max(trial), -1) FROM trials),
                    (SELECT coalesce(max(first + count - 1), -1) FROM tunings)), ?2, ?1";
            self.connection.execute(insert, params![grid, count])?;
            let query = "SELECT first FROM tunings WHERE grid = ?1";
            Ok(self.connection.query_row(query, [grid], |row| row.get(0))?)
        })
    }

    /// Records a child that was trained again.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be written.
    pub fn add_retrained(&self, retrained: &Retrained) -> Result<(), LedgerError> {
        in_file(&self.path, || {
            self.connection.execute(
                "INSERT INTO retrained VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    retrained.trial,
                    retrained.epochs,
                    retrained.validation_accuracy,
                    retrained.test_accuracy,
                    retrained.finished_at,
                    retrained.training_seconds,
                    retrained.variant.to_string(),
                ],
            )?;
            Ok(())
        })
    }

    /// The children that were trained again, in the order in which they were.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be read.
    pub fn retrained(&self) -> Result<Vec<Retrained>, LedgerError> {
        in_file(&self.path, || {
            let mut query = self.connection.prepare("SELECT * FROM retrained ORDER BY rowid")?;
            let rows = query.query_map([], |row| {
                Ok(Retrained {
                    trial: row.get("trial")?,
                    epochs: row.get("epochs")?,
                    validation_accuracy: row.get("validation_accuracy")?,
                    test_accuracy: row.get("test_accuracy")?,
                    finished_at: row.get("finished_at")?,
                    training_seconds: row.get("training_seconds")?,
                    variant: row.get::<_, String>("variant")?.into(),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// Writes down a trial, in place of what was there of it; without a result it is under way.
fn insert(
    connection: &Connection,
    space: &Space,
    proposed: &Proposed,
    result: Option<&Trial>,
) -> Result<(), LedgerProblem> {
    let begun = Clock::now();
    let clock = result.map_or(&begun, |trial| &trial.clock);
    connection.prepare_cached(INSERT_TRIAL)?.execute(params![
        proposed.trial,
        proposed.strategy,
        result.map(|trial| trial.status.to_string()),
        space.format(&proposed.tokens),
        proposed.hash.to_string(),
        proposed.params,
        proposed.flops,
        result.and_then(|trial| trial.validation_accuracy),
        result.map(|trial| trial.reward),
        result.and_then(|trial| trial.duplicate_of),
        proposed.log_probability,
        proposed.entropy,
        proposed.redraws,
        proposed.restarted,
        result.and_then(|trial| trial.detail.as_ref()),
        clock.started_at,
        result.map(|trial| &trial.clock.finished_at),
        clock.evaluation_seconds,
        clock.images_per_second,
        clock.evaluated_on,
        proposed.over_limits,
        proposed.setting.map(|setting| setting.to_string()),
    ])?;
    Ok(())
}

/// Names the file in what goes wrong.
fn in_file<T>(
    path: &Path,
    body: impl FnOnce() -> Result<T, LedgerProblem>,
) -> Result<T, LedgerError> {
    body().map_err(|problem| LedgerError { path: path.into(), problem })
}

/// The path as SQLite reads it as one: where it begins with `file:` it would be a URI.
fn no_uri(path: &Path) -> PathBuf {
    Path::new(".").join(path)
}

/// A path as part of a URI.
fn percent_encoded(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}
