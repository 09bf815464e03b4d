//! A configuration from its layers: defaults and preset, a file, `--set`, flags.

use std::fs;
use std::num::NonZero;
use std::ops::Range;
use std::path::Path;

use nasrl_child::Recipe;
use nasrl_controller::Preset;
use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::{Config, ConfigError};
use crate::Reward;

/// What was configured so far; later layers win over earlier ones, key by key.
///
/// `space`, `data` and `table` may be written as their `source` alone; naming a source drops what
/// was found out about an earlier one. `recipe` may be the name of one, `reference` or `paper`, and
/// is all of it then. A table of another `kind` than before replaces the whole of what was there.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    values: Table,
}

/// Trials of a search that was not told how many. With the embedded images and the reference space
/// at least 24 of the baseline's draws are new ones.
const TRIALS: i64 = 26;
/// Epochs of each child unless told otherwise.
const EPOCHS: usize = 3;
/// Epochs of the best child after the search unless it had more already.
const RETRAIN_EPOCHS: i64 = 10;
/// The strategy's lag where children are trained.
const LAG: i64 = 3;

impl Layers {
    /// Nothing is configured.
    pub fn new() -> Self {
        Layers::default()
    }

    /// Adds a TOML file.
    ///
    /// # Errors
    /// [`ConfigError::Read`], or as [`Layers::text`].
    pub fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.into(), source })?;
        self.text(&text, &path.display().to_string())
    }

    /// Adds TOML text, which errors call `name`.
    ///
    /// # Errors
    /// [`ConfigError`] with the place, for text that is not TOML and for keys and values that a
    /// configuration does not have.
    pub fn text(&mut self, text: &str, name: &str) -> Result<(), ConfigError> {
        let values: Table = toml::from_str(text).map_err(|error| ConfigError::Syntax {
            origin: place(name, text, error.span()),
            reason: error.message().to_owned(),
        })?;
        self.add(values).map_err(|refused| refused.at(|key| place(name, text, find(text, key))))
    }

    /// Adds an argument of `--set`: `key=value`, the key with dots, the value in TOML or a plain
    /// word.
    ///
    /// # Errors
    /// As [`Layers::text`], and [`ConfigError::Assignment`].
    pub fn assignment(&mut self, argument: &str) -> Result<(), ConfigError> {
        let refused = || ConfigError::Assignment { found: argument.to_owned() };
        let (key, text) = argument.split_once('=').ok_or_else(refused)?;
        let key = key.trim();
        if key.split('.').any(str::is_empty) {
            return Err(refused());
        }
        let parsed = toml::from_str::<Table>(&format!("value = {text}"));
        let value = parsed.ok().and_then(|mut table| table.remove("value"));
        let value = value.unwrap_or_else(|| Value::String(text.trim().to_owned()));
        self.set(key, value, &format!("--set {argument}"))
    }

    /// Sets one key, written with dots; errors call it `origin`.
    ///
    /// # Errors
    /// As [`Layers::text`].
    pub fn set(
        &mut self,
        key: &str,
        value: impl Into<Value>,
        origin: &str,
    ) -> Result<(), ConfigError> {
        let mut keys = key.rsplit('.');
        let last = keys.next().unwrap_or_default();
        let innermost = Table::from_iter([(last.to_owned(), value.into())]);
        let nested = keys.fold(innermost, |table, key| {
            Table::from_iter([(key.to_owned(), Value::Table(table))])
        });
        self.add(nested).map_err(|refused| refused.at(|_| origin.to_owned()))
    }

    /// The configuration, with everything that was not configured at its default.
    ///
    /// # Errors
    /// [`ConfigError`] for values out of range, and for those that do not go together.
    pub fn resolve(&self) -> Result<Config, ConfigError> {
        let config = self.complete().map_err(|refused| refused.at(|_| "configuration".into()))?;
        config.validate()?;
        Ok(config)
    }

    fn add(&mut self, mut values: Table) -> Result<(), Refused> {
        if let Some(recipe @ Value::String(_)) = values.get_mut("recipe") {
            *recipe = to_value(named_recipe(recipe)?);
        }
        for key in ["space", "data", "table"] {
            if let Some(value @ Value::String(_)) = values.get_mut(key) {
                let source = std::mem::replace(value, Value::Boolean(false));
                *value = Value::Table(Table::from_iter([("source".to_owned(), source)]));
            }
        }
        let mut merged = self.clone();
        merge(&mut merged.values, values);
        merged.complete()?;
        *self = merged;
        Ok(())
    }

    fn complete(&self) -> Result<Config, Refused> {
        let mut values = self.defaults()?;
        merge(&mut values, self.values.clone());
        share_cores(&mut values);
        lengthen_retraining(&mut values);
        serde_path_to_error::deserialize(values).map_err(|error| Refused::new(&error))
    }

    /// What a configuration is where these layers say nothing.
    fn defaults(&self) -> Result<Table, Refused> {
        let preset = match self.values.get("preset") {
            Some(word) => {
                let read = Preset::deserialize(word.clone());
                read.map_err(|error| Refused { key: "preset".into(), reason: error.to_string() })?
            }
            None => Preset::Default,
        };
        let reward = match preset {
            Preset::Paper => Reward::PAPER,
            Preset::Default | Preset::Reference => Reward::ACCURACY,
        };
        let word = |word: &str| Value::String(word.to_owned());
        let source = |source| Value::Table(Table::from_iter([("source".to_owned(), word(source))]));
        let with_table = self.values.contains_key("table");
        let is_random = self.values.get("strategy") == Some(&word("random"));
        let mut defaults: Vec<(&str, Value)> = vec![
            ("strategy", word("rl")),
            ("baseline", word(if is_random { "none" } else { "random" })),
            ("preset", Value::String(preset.to_string())),
            ("trials", TRIALS.into()),
            ("lag", if with_table { 0 } else { LAG }.into()),
            ("seed", 0.into()),
            ("device", word("cpu")),
            ("reward", to_value(reward)),
            ("controller", to_value(preset.config())),
        ];
        if !with_table {
            let recipe = Recipe { epochs: EPOCHS, ..Recipe::reference() };
            defaults.push(("space", source("reference")));
            defaults.push(("data", source("embedded")));
            defaults.push(("recipe", to_value(recipe)));
        }
        Ok(defaults.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

/// The recipe of a name. The reference's has as many epochs as is the default of a search.
fn named_recipe(name: &Value) -> Result<Recipe, Refused> {
    match name.as_str() {
        Some("reference") => Ok(Recipe { epochs: EPOCHS, ..Recipe::reference() }),
        Some("paper") => Ok(Recipe::paper()),
        _ => Err(Refused {
            key: "recipe".to_owned(),
            reason: format!("{name} is not known; there are the recipes reference and paper"),
        }),
    }
}

/// Fills in `jobs` and `threads`: as many children at once as the lag allows the strategy, on the
/// processor no more than it has cores, which are divided among them.
fn share_cores(values: &mut Table) {
    let on_cpu = values.get("device").is_none_or(|device| device.as_str() == Some("cpu"));
    let cores = match values.contains_key("table") {
        true => 1,
        false if !on_cpu => i64::MAX,
        false => std::thread::available_parallelism().map_or(1, NonZero::get) as i64,
    };
    let number = |key: &str| values.get(key).and_then(Value::as_integer);
    let lag = number("lag").unwrap_or(LAG).max(0);
    let jobs = number("jobs").unwrap_or_else(|| cores.min(lag.saturating_add(1)));
    let threads = if on_cpu { (cores / jobs.max(1)).max(1) } else { 1 };
    values.entry("jobs").or_insert(jobs.into());
    values.entry("threads").or_insert(threads.into());
}

/// Fills in `retrain-epochs`.
fn lengthen_retraining(values: &mut Table) {
    let recipe = values.get("recipe").and_then(Value::as_table);
    if let Some(epochs) = recipe.and_then(|recipe| recipe.get("epochs")?.as_integer()) {
        let epochs = epochs.max(RETRAIN_EPOCHS);
        values.entry("retrain-epochs").or_insert(epochs.into());
    }
}

/// What a type of unsigned integers is called in messages.
const WHOLE_NUMBER: &str = "a whole number of at least 0";

/// A key or value that a configuration does not have, wherever it came from.
struct Refused {
    key: String,
    reason: String,
}

impl Refused {
    fn new(error: &serde_path_to_error::Error<toml::de::Error>) -> Self {
        let words = [("u64", WHOLE_NUMBER), ("usize", WHOLE_NUMBER), ("f64", "a number")];
        let reason =
            words.iter().fold(error.inner().message().to_owned(), |reason, (name, words)| {
                reason.replace(&format!("expected {name}"), &format!("expected {words}"))
            });
        Refused { key: error.path().to_string(), reason }
    }

    /// The error, `origin` telling where a key stands.
    fn at(self, origin: impl Fn(&str) -> String) -> ConfigError {
        let Refused { key, reason } = self;
        // The words that serde quotes in "unknown field `a`, expected one of `b`, `c`".
        let quoted: Vec<&str> = reason.split('`').skip(1).step_by(2).collect();
        match quoted.split_first() {
            Some((found, known)) if reason.starts_with("unknown field") => {
                let parent = match key.strip_suffix(found) {
                    Some(parent) => parent.trim_end_matches('.'),
                    None => key.trim_matches('.'),
                };
                let dotted = match parent {
                    "" => (*found).to_owned(),
                    parent => format!("{parent}.{found}"),
                };
                ConfigError::UnknownKey {
                    origin: origin(&dotted),
                    nearest: misspelt(found, known),
                    known: known.join(", "),
                    key: dotted,
                }
            }
            _ => ConfigError::Value { origin: origin(&key), key, reason },
        }
    }
}

/// The known word that `found` is most likely meant to be, if it is no more than a third of its
/// letters away.
fn misspelt(found: &str, known: &[&str]) -> Option<String> {
    let distances = known.iter().map(|&name| (strsim::levenshtein(found, name), name));
    let (distance, nearest) = distances.min()?;
    (3 * distance <= found.chars().count()).then(|| nearest.to_owned())
}

/// Puts the values of `new` over those of `old`.
fn merge(old: &mut Table, new: Table) {
    for (key, value) in new {
        match (old.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) if is_same_kind(old, &new) => {
                if new.contains_key("source") {
                    FOUND_OUT.iter().for_each(|key| drop(old.remove(*key)));
                }
                merge(old, new);
            }
            (_, value) => drop(old.insert(key, value)),
        }
    }
}

/// What belongs to a `source` and is not configured.
const FOUND_OUT: [&str; 3] = ["definition", "description", "digest"];

fn is_same_kind(old: &Table, new: &Table) -> bool {
    new.get("kind").is_none_or(|kind| old.get("kind") == Some(kind))
}

fn to_value(value: impl serde::Serialize) -> Value {
    Value::try_from(value).expect("numbers and strings, no number above i64")
}

/// Where in the text of a TOML file the key with these dots stands, or the last part of it that
/// is there.
fn find(text: &str, key: &str) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.into_inner();
    let mut found = None;
    for part in key.split('.') {
        let Some((name, value)) = table.remove_entry(part) else { break };
        found = Some(name.span());
        match value.into_inner() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    found
}

/// `file:line:column`, or the file alone where the place is not known.
fn place(name: &str, text: &str, span: Option<Range<usize>>) -> String {
    let Some(before) = span.and_then(|span| text.get(..span.start)) else {
        return name.to_owned();
    };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{name}:{line}:{column}")
}
