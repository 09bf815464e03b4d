//! Decisions, and the tokens that settle them.

use std::collections::HashSet;

use crate::{DecisionError, SpaceError, Value};

/// One choice that a search has to make, from a list of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    name: String,
    kind: String,
    values: Vec<Value>,
    condition: Option<Condition>,
}

/// That a decision is made only after certain choices of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The place of the earlier decision, which is made always, among those of the space.
    pub decision: usize,
    /// The indices of its values after which this decision is made.
    pub choices: Vec<u16>,
}

/// The index of the chosen value of each decision, in the order of the space's decisions; 0 for a
/// decision that is not made. In a space of several depths they can end with any layer from its
/// least depth on.
///
/// Only a [`Space`](crate::Space) makes tokens, so that they always fit the space they came from.
/// Mixing spaces up is an error of the program, and methods may panic on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tokens(Vec<u16>);

impl Decision {
    /// A decision called `name`, unique in its space, over `values`, which must be distinct. A word
    /// that is the written form of a number is that number.
    ///
    /// # Errors
    /// [`SpaceError::Decision`] if there are no values or more than 65,536, if one is there twice,
    /// or if one could not be told apart in a token string: empty, with a comma or a control
    /// character, or with space at an end.
    pub fn new(
        name: impl Into<String>,
        kind: impl Into<String>,
        values: Vec<Value>,
    ) -> Result<Decision, SpaceError> {
        let name = name.into();
        let read = |value| match value {
            Value::Word(word) => Value::from(word.as_str()),
            number => number,
        };
        let values: Vec<Value> = values.into_iter().map(read).collect();
        match check_values(&values) {
            Ok(()) => Ok(Decision { name, kind: kind.into(), values, condition: None }),
            Err(reason) => Err(SpaceError::Decision { decision: name, reason }),
        }
    }

    /// Unique within the space, such as `layer1.kernel`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is decided, such as `kernel`, alike in all layers. Decisions of one kind usually have
    /// the same values, but a space may give each layer its own.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What can be chosen; a token is an index into this list.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// What it depends on whether the decision is made; `None` where it always is.
    pub fn condition(&self) -> Option<&Condition> {
        self.condition.as_ref()
    }

    pub(crate) fn only_if(self, condition: Condition) -> Decision {
        Decision { condition: Some(condition), ..self }
    }

    /// Whether it is made after the choices `before` it.
    pub(crate) fn is_made(&self, before: &[u16]) -> bool {
        let Some(Condition { decision, choices }) = &self.condition else { return true };
        choices.contains(&before[*decision])
    }
}

impl Tokens {
    pub(crate) fn new(indices: Vec<u16>) -> Tokens {
        Tokens(indices)
    }

    /// How many decisions they settle.
    #[expect(clippy::len_without_is_empty, reason = "there is no space without decisions")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The chosen indices, one a decision.
    pub fn as_slice(&self) -> &[u16] {
        &self.0
    }

    /// The index chosen for the decision at `position`, counted from 0.
    pub fn index(&self, position: usize) -> usize {
        usize::from(self.0[position])
    }
}

/// Whether `values` can be the values of a decision.
pub(crate) fn check_values(values: &[Value]) -> Result<(), DecisionError> {
    if values.is_empty() {
        return Err(DecisionError::NoValues);
    }
    if values.len() > usize::from(u16::MAX) + 1 {
        return Err(DecisionError::TooManyValues { found: values.len() });
    }
    let mut seen = HashSet::new();
    for value in values {
        let text = value.to_string();
        let unclear = text.contains(|c: char| c == ',' || c.is_control());
        if text.is_empty() || unclear || text.trim() != text {
            return Err(DecisionError::Unwritable { value: value.clone() });
        }
        if !seen.insert(text) {
            return Err(DecisionError::Duplicate { value: value.clone() });
        }
    }
    Ok(())
}
