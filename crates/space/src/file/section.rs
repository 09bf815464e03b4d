//! TOML with places: tables, keys and values, and where each stands.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::network::Domain;
use crate::{FileProblem, Place, SpaceError, Value};

pub(super) type Item<'t> = Spanned<DeValue<'t>>;

/// The text of a space and the name that errors call it by.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) file: &'a str,
}

/// A table of the file. `title` is where errors say that something stands.
pub(super) struct Section<'a, 't> {
    pub(super) reader: Reader<'a>,
    pub(super) table: &'a DeTable<'t>,
    pub(super) span: Range<usize>,
    pub(super) title: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) fn value(
        self,
        key: &str,
        item: &Item<'_>,
        domain: &Domain,
    ) -> Result<Value, SpaceError> {
        let value = scalar(item.get_ref()).filter(|value| domain.contains(value));
        value.ok_or_else(|| self.unexpected(key, item, domain.to_string()))
    }

    pub(super) fn array<'i, 't>(
        self,
        key: &str,
        item: &'i Item<'t>,
        expected: &str,
    ) -> Result<&'i DeArray<'t>, SpaceError> {
        match item.get_ref() {
            DeValue::Array(array) => Ok(array),
            _ => Err(self.unexpected(key, item, expected.to_owned())),
        }
    }

    pub(super) fn table<'t>(
        self,
        key: &str,
        item: &'a Item<'t>,
        title: &'static str,
    ) -> Result<Section<'a, 't>, SpaceError> {
        match item.get_ref() {
            DeValue::Table(table) => Ok(Section { reader: self, table, span: item.span(), title }),
            _ => Err(self.unexpected(key, item, "a table".to_owned())),
        }
    }

    pub(super) fn unexpected(self, key: &str, item: &Item<'_>, expected: String) -> SpaceError {
        let found = match item.get_ref() {
            DeValue::String(text) => format!("{text:?}"),
            DeValue::Integer(integer) => integer.to_string(),
            DeValue::Float(float) => float.to_string(),
            DeValue::Boolean(boolean) => boolean.to_string(),
            DeValue::Datetime(datetime) => datetime.to_string(),
            DeValue::Array(array) if array.is_empty() => "an empty list".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        self.error(item.span(), FileProblem::Value { key: key.to_owned(), found, expected })
    }

    pub(super) fn error(self, span: Range<usize>, problem: FileProblem) -> SpaceError {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let place = Place {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        };
        SpaceError::File { place, problem }
    }
}

impl<'a, 't> Section<'a, 't> {
    pub(super) fn check_keys(&self, known: &[&'static str]) -> Result<(), SpaceError> {
        for key in self.table.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                let problem = FileProblem::UnknownKey {
                    key: key.get_ref().to_string(),
                    section: self.title.to_owned(),
                    nearest: nearest(key.get_ref(), known),
                    known: known.to_vec(),
                };
                return Err(self.reader.error(key.span(), problem));
            }
        }
        Ok(())
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Item<'t>> {
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, item)| item)
    }

    pub(super) fn require(&self, key: &'static str) -> Result<&'a Item<'t>, SpaceError> {
        self.get(key).ok_or_else(|| self.missing(key))
    }

    pub(super) fn missing(&self, key: &'static str) -> SpaceError {
        let problem = FileProblem::MissingKey { key, section: self.title.to_owned() };
        self.reader.error(self.span.clone(), problem)
    }

    pub(super) fn section(
        &self,
        key: &str,
        title: &'static str,
    ) -> Result<Option<Section<'a, 't>>, SpaceError> {
        self.get(key).map(|item| self.reader.table(key, item, title)).transpose()
    }

    pub(super) fn string(&self, key: &'static str) -> Result<String, SpaceError> {
        let item = self.require(key)?;
        match item.get_ref() {
            DeValue::String(text) if !text.is_empty() && !text.contains(char::is_control) => {
                Ok(text.to_string())
            }
            _ => Err(self.reader.unexpected(key, item, "a string of one line".to_owned())),
        }
    }

    pub(super) fn count(&self, key: &'static str, domain: &Domain) -> Result<usize, SpaceError> {
        let item = self.require(key)?;
        match self.reader.value(key, item, domain)? {
            Value::Integer(count) => Ok(usize::try_from(count).unwrap_or_default()),
            _ => Err(self.reader.unexpected(key, item, domain.to_string())),
        }
    }
}

pub(super) fn scalar(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(Value::Integer)
        }
        DeValue::Float(float) => float.as_str().parse().ok().and_then(Value::number),
        DeValue::String(text) => Some(Value::Word(text.to_string())),
        _ => None,
    }
}

/// The known word that `word` is most likely meant to be, if no more than a third of it has to be
/// edited.
fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let edits = |candidate: &&'static str| strsim::levenshtein(word, candidate);
    let nearest = known.iter().copied().min_by_key(edits)?;
    (3 * edits(&nearest) <= word.chars().count()).then_some(nearest)
}
