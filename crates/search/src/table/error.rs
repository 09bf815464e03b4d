//! What can be wrong with a table.

use std::io;

use nasrl_space::SpaceError;

/// Why a table, or something asked of it, was refused.
#[derive(Debug, thiserror::Error)]
#[error("table {file}: {problem}")]
pub struct TableError {
    /// The file's name, as it was given.
    pub file: String,
    /// What is wrong.
    pub problem: TableProblem,
}

/// What is wrong with a table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableProblem {
    /// The file could not be read.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// The text is not CSV.
    #[error("{place}: {reason}; every line needs as many fields as the header")]
    Csv {
        /// Where.
        place: String,
        /// What the parser said.
        reason: String,
    },
    /// The text is not the JSON of NAS-Bench-Macro.
    #[error(
        "not the JSON of NAS-Bench-Macro, an object of {{\"02012100\": {{\"mean_acc\": 89.2, ..}}, \
         ..}}: {0}"
    )]
    Json(serde_json::Error),
    /// An architecture of NAS-Bench-Macro that is not eight digits.
    #[error("architecture {0:?} is not written as eight digits of 0, 1 and 2")]
    Architecture(String),
    /// No column of rewards.
    #[error(
        "no column `reward`, only: {}; the decisions' columns stand left of it, further results \
         right of it", .0.join(", ")
    )]
    NoReward(Vec<String>),
    /// No column left of the rewards.
    #[error("`reward` is the first column; the columns left of it are the decisions")]
    NoDecisions,
    /// Two columns of one name.
    #[error("two columns are called `{0}`; give each its own name")]
    DuplicateColumn(String),
    /// A column without a name.
    #[error("column {0} has no name in the header")]
    UnnamedColumn(usize),
    /// Nothing but a header, if that.
    #[error("there are no rows")]
    NoRows,
    /// A reward that is not a finite number.
    #[error("{place}: the reward is {found:?}; a finite number is expected")]
    Reward {
        /// Where.
        place: String,
        /// What was found.
        found: String,
    },
    /// One token string twice.
    #[error("{place}: tokens {tokens} are in {first} already; keep one of the rows")]
    Twice {
        /// Where.
        place: String,
        /// Where they were first.
        first: String,
        /// The tokens.
        tokens: String,
    },
    /// Values that cannot be those of a decision.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// A column that is not there.
    #[error("no column `{found}`; there are: {}", .known.join(", "))]
    Column {
        /// The name asked for.
        found: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A result that is not a number.
    #[error("column `{column}` of tokens {tokens} is {found:?}; a number is expected")]
    Number {
        /// The column.
        column: String,
        /// The tokens.
        tokens: String,
        /// What was found.
        found: String,
    },
}
