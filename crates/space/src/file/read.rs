//! A space from TOML, with the place of whatever is wrong.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::decision::check_values;
use crate::network::{Block, Domain, Key, Network, Setting};
use crate::{Decision, FileProblem, Place, Space, SpaceError, Value};

type Item<'t> = Spanned<DeValue<'t>>;

const LAYER_COUNT: Domain = Domain::Count(1024);

/// Reads the text of a space; errors call it `file`.
pub(crate) fn read(text: &str, file: &str) -> Result<Space, SpaceError> {
    let reader = Reader { text, file };
    let root = DeTable::parse(text).map_err(|error| {
        let message = error.message().to_owned();
        reader.error(error.span().unwrap_or_default(), FileProblem::Syntax { message })
    })?;
    let root = Section { reader, table: root.get_ref(), span: 0..0, title: "at the top level" };
    root.check_keys(&["name", "layers", "per_layer", "stem", "head", "decision"])?;
    let name = root.string("name")?;
    match root.get("decision") {
        Some(decisions) => {
            for other in ["layers", "per_layer", "stem", "head"] {
                if let Some(item) = root.get(other) {
                    let other = "[[decision]]".to_owned();
                    let key = "a description of layers";
                    return Err(reader.error(item.span(), FileProblem::Conflict { key, other }));
                }
            }
            Space::from_decisions(name, reader.decisions(decisions)?)
        }
        None => Space::from_network(name, reader.network(&root)?),
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    text: &'a str,
    file: &'a str,
}

/// A table of the file. `title` is where errors say that something stands.
struct Section<'a, 't> {
    reader: Reader<'a>,
    table: &'a DeTable<'t>,
    span: Range<usize>,
    title: &'static str,
}

/// The settings of a table, each with its place.
type Settings<T> = BTreeMap<Key, (Range<usize>, T)>;

impl<'a> Reader<'a> {
    fn network(self, root: &Section<'a, '_>) -> Result<Network, SpaceError> {
        let layers = match root.section("layers", "in [layers]")? {
            Some(layers) => layers,
            None => return Err(root.missing("[layers] (or [[decision]])")),
        };
        let stem = root.section("stem", "in [stem]")?;
        let network = Network {
            stem: stem.map(|stem| self.stem(&stem)).transpose()?,
            layers: self.layers(&layers, root.section("per_layer", "in [per_layer]")?)?,
            head: self.head(root.section("head", "in [head]")?)?,
        };
        if network.decisions()?.is_empty() {
            return Err(self.error(layers.span, FileProblem::NothingToSearch));
        }
        Ok(network)
    }

    fn stem(self, section: &Section<'a, '_>) -> Result<Block, SpaceError> {
        section.check_keys(&names(Key::LAYER))?;
        let settings = section.settings(Key::LAYER, Reader::setting)?;
        let defaults = section.defaults(&spans(&settings))?;
        Ok(block("stem".to_owned(), defaults, settings))
    }

    fn layers(
        self,
        section: &Section<'a, '_>,
        per_layer: Option<Section<'a, '_>>,
    ) -> Result<Vec<Block>, SpaceError> {
        let mut known = names(Key::LAYER);
        known.insert(0, "count");
        section.check_keys(&known)?;
        let count = section.count("count", &LAYER_COUNT)?;
        let shared = section.settings(Key::LAYER, Reader::setting)?;
        let own = match per_layer {
            None => BTreeMap::new(),
            Some(per_layer) => {
                per_layer.check_keys(&names(Key::LAYER))?;
                per_layer.settings(Key::LAYER, |reader, key, item| {
                    reader.setting_per_layer(key, item, count)
                })?
            }
        };
        if let Some((key, (span, _))) = own.iter().find(|(key, _)| shared.contains_key(key)) {
            let other = format!("{} in [layers]", key.name());
            let problem = FileProblem::Conflict { key: key.name(), other };
            return Err(self.error(span.clone(), problem));
        }
        let all = spans(&shared).into_iter().chain(spans(&own)).collect();
        let defaults = section.defaults(&all)?;
        let layer = |index: usize| {
            let own =
                own.iter().map(|(&key, (span, all))| (key, (span.clone(), all[index].clone())));
            block(
                format!("layer{}", index + 1),
                defaults.clone(),
                shared.clone().into_iter().chain(own),
            )
        };
        Ok((0..count).map(layer).collect())
    }

    fn head(self, section: Option<Section<'a, '_>>) -> Result<Block, SpaceError> {
        let mut settings = BTreeMap::new();
        if let Some(section) = section {
            section.check_keys(&names(Key::HEAD))?;
            settings = section.settings(Key::HEAD, Reader::setting)?;
        }
        let defaults =
            Key::HEAD.iter().filter_map(|&key| Some((key, Setting::Fixed(key.default()?))));
        Ok(block("head".to_owned(), defaults.collect(), settings))
    }

    /// A value, or a list of choices.
    fn setting(self, key: Key, item: &Item<'_>) -> Result<Setting, SpaceError> {
        let DeValue::Array(array) = item.get_ref() else {
            return Ok(Setting::Fixed(self.value(key.name(), item, &key.domain())?));
        };
        let values = array.iter().map(|item| self.value(key.name(), item, &key.domain()));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        match check_values(&values) {
            Ok(()) => Ok(Setting::Choice(values)),
            Err(reason) => {
                let problem = FileProblem::Choices { key: key.name().to_owned(), reason };
                Err(self.error(item.span(), problem))
            }
        }
    }

    /// A list with a value, or a list of choices, for each layer.
    fn setting_per_layer(
        self,
        key: Key,
        item: &Item<'_>,
        count: usize,
    ) -> Result<Vec<Setting>, SpaceError> {
        let array = self.array(key.name(), item, "a list with one entry a layer")?;
        if array.len() != count {
            let problem =
                FileProblem::PerLayerLength { key: key.name(), found: array.len(), count };
            return Err(self.error(item.span(), problem));
        }
        array.iter().map(|item| self.setting(key, item)).collect()
    }

    fn decisions(self, item: &'a Item<'_>) -> Result<Vec<Decision>, SpaceError> {
        let expected = "a list of tables, each under [[decision]]";
        let tables = self.array("decision", item, expected)?;
        if tables.is_empty() {
            return Err(self.unexpected("decision", item, expected.to_owned()));
        }
        let mut decisions: Vec<Decision> = Vec::new();
        for item in tables.iter() {
            let section = self.table("decision", item, "in [[decision]]")?;
            section.check_keys(&["name", "kind", "values"])?;
            let name = section.string("name")?;
            let kind = match section.get("kind") {
                Some(_) => section.string("kind")?,
                None => name.clone(),
            };
            let values = section.require("values")?;
            let array = self.array("values", values, "a list of choices")?;
            let choices = array.iter().map(|item| self.choice(item)).collect::<Result<_, _>>()?;
            if decisions.iter().any(|decision| decision.name() == name) {
                let problem = FileProblem::DuplicateDecision { decision: name };
                return Err(self.error(section.require("name")?.span(), problem));
            }
            decisions.push(Decision::new(name, kind, choices).map_err(|error| match error {
                SpaceError::Decision { decision, reason } => {
                    let key = format!("values of {decision}");
                    self.error(values.span(), FileProblem::Choices { key, reason })
                }
                error => error,
            })?);
        }
        Ok(decisions)
    }

    fn value(self, key: &str, item: &Item<'_>, domain: &Domain) -> Result<Value, SpaceError> {
        let value = scalar(item.get_ref()).filter(|value| domain.contains(value));
        value.ok_or_else(|| self.unexpected(key, item, domain.to_string()))
    }

    fn choice(self, item: &Item<'_>) -> Result<Value, SpaceError> {
        let expected = || self.unexpected("values", item, "a number or a string".to_owned());
        scalar(item.get_ref()).ok_or_else(expected)
    }

    fn array<'i, 't>(
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

    fn table<'t>(
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

    fn unexpected(self, key: &str, item: &Item<'_>, expected: String) -> SpaceError {
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

    fn error(self, span: Range<usize>, problem: FileProblem) -> SpaceError {
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
    fn check_keys(&self, known: &[&'static str]) -> Result<(), SpaceError> {
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

    fn get(&self, key: &str) -> Option<&'a Item<'t>> {
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, item)| item)
    }

    fn require(&self, key: &'static str) -> Result<&'a Item<'t>, SpaceError> {
        self.get(key).ok_or_else(|| self.missing(key))
    }

    fn missing(&self, key: &'static str) -> SpaceError {
        let problem = FileProblem::MissingKey { key, section: self.title.to_owned() };
        self.reader.error(self.span.clone(), problem)
    }

    fn section(
        &self,
        key: &str,
        title: &'static str,
    ) -> Result<Option<Section<'a, 't>>, SpaceError> {
        self.get(key).map(|item| self.reader.table(key, item, title)).transpose()
    }

    fn string(&self, key: &'static str) -> Result<String, SpaceError> {
        let item = self.require(key)?;
        match item.get_ref() {
            DeValue::String(text) if !text.is_empty() && !text.contains(char::is_control) => {
                Ok(text.to_string())
            }
            _ => Err(self.reader.unexpected(key, item, "a string of one line".to_owned())),
        }
    }

    fn count(&self, key: &'static str, domain: &Domain) -> Result<usize, SpaceError> {
        let item = self.require(key)?;
        match self.reader.value(key, item, domain)? {
            Value::Integer(count) => Ok(usize::try_from(count).unwrap_or_default()),
            _ => Err(self.reader.unexpected(key, item, domain.to_string())),
        }
    }

    fn settings<T>(
        &self,
        keys: &[Key],
        read: impl Fn(Reader<'a>, Key, &Item<'t>) -> Result<T, SpaceError>,
    ) -> Result<Settings<T>, SpaceError> {
        let present = keys.iter().filter_map(|&key| Some((key, self.get(key.name())?)));
        present.map(|(key, item)| Ok((key, (item.span(), read(self.reader, key, item)?)))).collect()
    }

    /// What a layer of the keys `given` leaves to default, once it is known to be whole.
    fn defaults(
        &self,
        given: &BTreeMap<Key, Range<usize>>,
    ) -> Result<BTreeMap<Key, Setting>, SpaceError> {
        for (square, height, width) in [
            (Key::Kernel, Key::KernelHeight, Key::KernelWidth),
            (Key::Stride, Key::StrideHeight, Key::StrideWidth),
        ] {
            match (given.get(&square), given.get(&height), given.get(&width)) {
                (Some(span), Some(_), _) | (Some(span), _, Some(_)) => {
                    let other = format!("{} and {}", height.name(), width.name());
                    let problem = FileProblem::Conflict { key: square.name(), other };
                    return Err(self.reader.error(span.clone(), problem));
                }
                (None, Some(_), None) => return Err(self.missing(width.name())),
                (None, None, Some(_)) => return Err(self.missing(height.name())),
                _ => {}
            }
        }
        if !given.contains_key(&Key::Kernel) && !given.contains_key(&Key::KernelHeight) {
            return Err(self.missing("kernel (or kernel_height and kernel_width)"));
        }
        if !given.contains_key(&Key::Filters) {
            return Err(self.missing("filters"));
        }
        let absent = |key: &Key| match key {
            Key::Stride => !given.contains_key(key) && !given.contains_key(&Key::StrideHeight),
            key => !given.contains_key(key),
        };
        let defaults = Key::LAYER.iter().filter(|key| absent(key));
        Ok(defaults.filter_map(|&key| Some((key, Setting::Fixed(key.default()?)))).collect())
    }
}

fn scalar(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(Value::Integer)
        }
        DeValue::Float(float) => float.as_str().parse().ok().and_then(Value::number),
        DeValue::String(text) => Some(Value::Word(text.to_string())),
        _ => None,
    }
}

fn block(
    name: String,
    mut settings: BTreeMap<Key, Setting>,
    given: impl IntoIterator<Item = (Key, (Range<usize>, Setting))>,
) -> Block {
    settings.extend(given.into_iter().map(|(key, (_, setting))| (key, setting)));
    Block { name, settings }
}

fn spans<T>(settings: &Settings<T>) -> BTreeMap<Key, Range<usize>> {
    settings.iter().map(|(&key, (span, _))| (key, span.clone())).collect()
}

fn names(keys: &[Key]) -> Vec<&'static str> {
    keys.iter().map(|key| key.name()).collect()
}

/// The word of `known`, which has at least one, that takes the fewest edits to become.
fn nearest(word: &str, known: &[&'static str]) -> &'static str {
    let edits = |candidate: &&'static str| strsim::levenshtein(word, candidate);
    known.iter().copied().min_by_key(edits).unwrap_or_default()
}
