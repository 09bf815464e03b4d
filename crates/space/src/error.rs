//! What can be wrong with a space, its file, or tokens for it.

use std::fmt;
use std::io;

use crate::{GraphError, Value};

/// Why a space, or something asked of it, was refused.
#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    /// The file of a space could not be read.
    #[error("cannot read the space {file}: {reason}; known by name are: {}", .built_in.join(", "))]
    Read {
        /// The path as given.
        file: String,
        /// What the operating system said, or that the file is not UTF-8.
        reason: io::Error,
        /// The spaces that need no file.
        built_in: Vec<&'static str>,
    },
    /// The text of a space is not one.
    #[error("{place}: {problem}")]
    File {
        /// Where in the file.
        place: Place,
        /// What is wrong there.
        problem: FileProblem,
    },
    /// The values of a decision are no list of choices.
    #[error("decision {decision}: {reason}")]
    Decision {
        /// The decision's name.
        decision: String,
        /// What is wrong with its values.
        reason: DecisionError,
    },
    /// Two decisions of a space have one name.
    #[error("two decisions are called {decision}; give each its own name")]
    DuplicateDecision {
        /// The name.
        decision: String,
    },
    /// A space without decisions.
    #[error("space {space} has no decisions, so there is nothing to search")]
    NoDecisions {
        /// The space's name.
        space: String,
    },
    /// Tokens that are too few or too many.
    #[error(
        "found {found} tokens, but space {space} has {} decisions: {}",
        .decisions.len(), .decisions.join(", ")
    )]
    TokenCount {
        /// The space's name.
        space: String,
        /// How many tokens there are.
        found: usize,
        /// The names of the decisions, in order.
        decisions: Vec<String>,
    },
    /// The tokens of one layer that are too few or too many.
    #[error("{part}: found {found} tokens, expected {}: {}", .expected.len(), .expected.join(", "))]
    PartTokens {
        /// The layer.
        part: String,
        /// How many tokens it has.
        found: usize,
        /// What has to be decided after the choices that were made.
        expected: Vec<String>,
    },
    /// A network of more layers or fewer than the space has.
    #[error("found {found} layers, but the networks of space {space} have {}", depths(.least, .most))]
    Depth {
        /// The space's name.
        space: String,
        /// How many layers there are.
        found: usize,
        /// The fewest that there can be.
        least: usize,
        /// The most that there can be.
        most: usize,
    },
    /// Skips that are no digits 0 and 1, or too few, or too many.
    #[error(
        "{part}: skips are {found:?}, expected {count} digits, 1 for each earlier layer that it \
         reads and 0 for the others"
    )]
    Skips {
        /// The layer.
        part: String,
        /// What was found.
        found: String,
        /// How many digits there should be.
        count: usize,
    },
    /// A token that is none of its decision's values.
    #[error(
        "token {position} ({decision}) is {found:?}, which is not one of its values: {}",
        listed(.allowed)
    )]
    UnknownValue {
        /// Which token, counted from 1.
        position: usize,
        /// The decision it settles.
        decision: String,
        /// What was found.
        found: String,
        /// What could have been.
        allowed: Vec<Value>,
    },
    /// An index beyond its decision's values.
    #[error("token {position} ({decision}) is index {found}, but there are {count} values")]
    UnknownIndex {
        /// Which token, counted from 1.
        position: usize,
        /// The decision it settles.
        decision: String,
        /// The index found.
        found: u16,
        /// How many values the decision has.
        count: usize,
    },
    /// A network was asked of a space that lists decisions only.
    #[error(
        "space {space} lists decisions only and describes no network; give it [layers], or take \
         rewards from a table"
    )]
    NoNetwork {
        /// The space's name.
        space: String,
    },
    /// The architecture does not exist for this input.
    #[error("architecture {tokens} cannot be built: {reason}")]
    Build {
        /// The tokens, as values.
        tokens: String,
        /// The layer that fails, and why.
        reason: GraphError,
    },
}

/// What is wrong with the values of a decision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecisionError {
    /// No values.
    #[error("the list of choices is empty; give at least one value")]
    NoValues,
    /// More values than an index can count.
    #[error("{found} values, but 65536 is the limit")]
    TooManyValues {
        /// How many there are.
        found: usize,
    },
    /// One value twice.
    #[error("the value {value} is there twice")]
    Duplicate {
        /// The value.
        value: Value,
    },
    /// A value that a token string could not hold.
    #[error(
        "the value {:?} cannot be written as a token: it is empty, has a comma or a control \
         character, or space at an end", .value.to_string()
    )]
    Unwritable {
        /// The value.
        value: Value,
    },
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name, as it was given.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

/// What is wrong at one place in the file of a space.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileProblem {
    /// The text is not TOML.
    #[error("not valid TOML: {message}")]
    Syntax {
        /// What the parser said.
        message: String,
    },
    /// A key that no space has there.
    #[error(
        "unknown key {key:?} {section}; {}known: {}", did_you_mean(*.nearest), .known.join(", ")
    )]
    UnknownKey {
        /// The key found.
        key: String,
        /// Where it stands, as `in [layers]`.
        section: String,
        /// The known key that it is most likely meant to be.
        nearest: Option<&'static str>,
        /// All keys known there.
        known: Vec<&'static str>,
    },
    /// A key that has to be there.
    #[error("{key} is missing {section}")]
    MissingKey {
        /// The key, or the keys one of which is needed.
        key: &'static str,
        /// Where it should stand, as `in [layers]`.
        section: String,
    },
    /// A value of the wrong type, or out of range.
    #[error("{key} is {found}, expected {expected}")]
    Value {
        /// The key.
        key: String,
        /// The value found.
        found: String,
        /// What it should have been.
        expected: String,
    },
    /// Two keys that exclude each other.
    #[error("{key} contradicts {other}; keep one of them")]
    Conflict {
        /// The later key.
        key: &'static str,
        /// The one it contradicts.
        other: String,
    },
    /// A list under `[per_layer]` of the wrong length.
    #[error("{key} lists {found} layers, but layers.count is {count}")]
    PerLayerLength {
        /// The key.
        key: &'static str,
        /// How many entries the list has.
        found: usize,
        /// How many layers there are.
        count: usize,
    },
    /// A list of choices that is none.
    #[error("{key}: {reason}")]
    Choices {
        /// The key.
        key: String,
        /// What is wrong with the list.
        reason: DecisionError,
    },
    /// Two decisions with one name.
    #[error("a decision called {decision:?} is there already; give each its own name")]
    DuplicateDecision {
        /// The name.
        decision: String,
    },
    /// Everything is fixed.
    #[error("nothing to search: no key has a list of choices, as filters = [16, 32] would be")]
    NothingToSearch,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |nearest| format!("did you mean {nearest:?}? "))
}

fn depths(least: &usize, most: &usize) -> String {
    match least == most {
        true => most.to_string(),
        false => format!("{least} to {most}"),
    }
}

fn listed(values: &[Value]) -> String {
    values.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")
}
