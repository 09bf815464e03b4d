//! Tokens as people write them.

use crate::network::Part;
use crate::{Decision, Space, SpaceError, Tokens, Value};

/// Stands for a layer that decides nothing.
const NOTHING: &str = "-";

impl Space {
    /// Reads tokens as people write them: the value of each decision, in order, separated by
    /// commas, with space allowed around them, such as `3,64,3,64,3,32,3,64`.
    ///
    /// Where skips are decided, a decision depends on another, or there are several depths, they
    /// are written layer by layer with slashes between, such as `3,3,24 / 3,5,36,1 / 7,1,48,01`: a
    /// layer's skips come last and together, a digit for each layer before it. Decisions that are
    /// not made are left out; `-` is a layer without any.
    ///
    /// # Errors
    /// [`SpaceError::TokenCount`], [`SpaceError::PartTokens`], [`SpaceError::Depth`],
    /// [`SpaceError::UnknownValue`] and [`SpaceError::Skips`].
    pub fn parse(&self, text: &str) -> Result<Tokens, SpaceError> {
        if !self.is_written_by_layer() {
            return self.parse_values(text.split(','));
        }
        let parts: Vec<&str> = text.split('/').map(str::trim).collect();
        let apart = self.written_parts(0).count();
        let depth = parts.len().saturating_sub(apart);
        if !self.depths().contains(&depth) {
            return Err(self.no_such_depth(depth));
        }
        let mut indices = Vec::new();
        for (part, text) in self.written_parts(depth).zip(parts) {
            self.parse_part(part, text, &mut indices)?;
        }
        self.tokens(indices)
    }

    /// As [`Space::parse`], with the value of every decision apart, as in the columns of a table.
    ///
    /// # Errors
    /// [`SpaceError::TokenCount`] and [`SpaceError::UnknownValue`].
    pub fn parse_values<'a>(
        &self,
        values: impl IntoIterator<Item = &'a str>,
    ) -> Result<Tokens, SpaceError> {
        let texts: Vec<_> = values.into_iter().map(str::trim).collect();
        self.check_count(texts.len())?;
        let settle = |(position, text): (usize, &&str)| self.parse_value(position, text);
        self.tokens(texts.iter().enumerate().map(settle).collect::<Result<_, _>>()?)
    }

    /// Tokens as [`Space::parse`] reads them.
    pub fn format(&self, tokens: &Tokens) -> String {
        let text = |value: &Value| value.to_string();
        if !self.is_written_by_layer() {
            return self.values(tokens).map(text).collect::<Vec<_>>().join(",");
        }
        let indices = tokens.as_slice();
        let value = |position: usize| {
            self.decisions()[position].values()[usize::from(indices[position])].to_string()
        };
        let layers = self.listing.parts.iter().filter(|part| part.is_layer);
        let depth = layers.filter(|part| part.end <= indices.len()).count();
        let part = |part: &Part| {
            let made = |&position: &usize| self.decisions()[position].is_made(indices);
            let mut texts: Vec<String> =
                (part.first..part.first_skip).filter(made).map(value).collect();
            if part.first_skip < part.end {
                texts.push((part.first_skip..part.end).map(value).collect());
            }
            if texts.is_empty() { NOTHING.to_owned() } else { texts.join(",") }
        };
        self.written_parts(depth).map(part).collect::<Vec<_>>().join(" / ")
    }

    /// The blocks of a network of so many layers that are written: layers, and others that decide
    /// something.
    fn written_parts(&self, depth: usize) -> impl Iterator<Item = &Part> {
        self.parts(depth).filter(|part| part.is_layer || part.first < part.end)
    }

    /// Reads the tokens of one block.
    fn parse_part(
        &self,
        part: &Part,
        text: &str,
        indices: &mut Vec<u16>,
    ) -> Result<(), SpaceError> {
        let fields: Vec<&str> = match text {
            NOTHING => Vec::new(),
            text => text.split(',').map(str::trim).collect(),
        };
        let mut rest = fields.iter();
        let mut expected = Vec::new();
        for position in part.first..part.first_skip {
            let decision = &self.decisions()[position];
            if !decision.is_made(indices) {
                indices.push(0);
                continue;
            }
            expected.push(decision.kind().to_owned());
            // What is missing is counted below.
            indices.push(rest.next().map_or(Ok(0), |text| self.parse_value(position, text))?);
        }
        let count = part.end - part.first_skip;
        if count > 0 {
            expected.push("skips".to_owned());
            if let Some(digits) = rest.next() {
                let bit = |digit| matches!(digit, b'0' | b'1').then(|| u16::from(digit - b'0'));
                let bits: Option<Vec<u16>> = digits.bytes().map(bit).collect();
                let bits = bits.filter(|bits| bits.len() == count);
                indices.extend(bits.ok_or_else(|| SpaceError::Skips {
                    part: part.name.clone(),
                    found: (*digits).to_owned(),
                    count,
                })?);
            }
        }
        if fields.len() == expected.len() {
            return Ok(());
        }
        Err(SpaceError::PartTokens { part: part.name.clone(), found: fields.len(), expected })
    }

    fn parse_value(&self, position: usize, text: &str) -> Result<u16, SpaceError> {
        let decision: &Decision = &self.decisions()[position];
        let read = Value::from(text);
        let index = decision.values().iter().position(|value| *value == read);
        index.and_then(|index| u16::try_from(index).ok()).ok_or_else(|| SpaceError::UnknownValue {
            position: position + 1,
            decision: decision.name().to_owned(),
            found: text.to_owned(),
            allowed: decision.values().to_vec(),
        })
    }
}
