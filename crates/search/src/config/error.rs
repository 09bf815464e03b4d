//! What can be wrong with a configuration.

use std::io;
use std::path::PathBuf;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file that cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Text that is not TOML.
    #[error("{origin}: {reason}")]
    Syntax {
        /// Where it stands, such as `search.toml:3:7`.
        origin: String,
        /// What the parser said.
        reason: String,
    },
    /// An argument of `--set` that is not `key=value`.
    #[error("--set {found}: expected key=value, as in --set recipe.batch=64")]
    Assignment {
        /// The argument.
        found: String,
    },
    /// A key that does not exist.
    #[error("{origin}: unknown key `{key}`{} Known there: {known}", suggestion(nearest.as_deref()))]
    UnknownKey {
        /// Where it stands.
        origin: String,
        /// The key, with dots.
        key: String,
        /// The known one that it may be a misspelling of.
        nearest: Option<String>,
        /// All that are known in its place.
        known: String,
    },
    /// A value of the wrong type.
    #[error("{origin}: `{key}`: {reason}")]
    Value {
        /// Where it stands.
        origin: String,
        /// The key, with dots.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A value out of its range.
    #[error("{key} is {value}, but must be {rule}")]
    Range {
        /// The key, with dots.
        key: String,
        /// The value.
        value: String,
        /// The range.
        rule: &'static str,
    },
    /// A hyperparameter of the controller out of its range.
    #[error(transparent)]
    Controller(#[from] nasrl_controller::ConfigError),
    /// A value of the recipe out of its range.
    #[error(transparent)]
    Recipe(#[from] nasrl_child::RecipeError),
    /// Random search compared with random search.
    #[error("strategy random would be its own baseline; use --baseline none")]
    BaselineOfItself,
    /// A table and something to train.
    #[error(
        "a table is its own space and trains nothing; leave out space, data and recipe (among \
         them --epochs and --precision)"
    )]
    BesideTable,
    /// A table and what only networks have.
    #[error("the architectures of a table are no networks; leave out depth and limits")]
    NetworksOfTable,
    /// Neither a table nor all that training needs.
    #[error("either a table or space, data and recipe are needed")]
    Incomplete,
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or(".".to_owned(), |nearest| format!("; did you mean `{nearest}`?"))
}
