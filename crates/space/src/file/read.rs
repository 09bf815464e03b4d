//! A space from TOML, with the place of whatever is wrong.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeArray, DeTable, DeValue};

use super::section::{Item, Reader, Section, scalar};
use crate::decision::check_values;
use crate::network::{Block, Domain, Key, Network, Setting, Skips};
use crate::{Decision, FileProblem, Space, SpaceError, Value};

const MOST_LAYERS: i64 = 1024;

/// The keys of `[layers]` that are not about a layer of its own.
const COUNT: &str = "count";
const MIN_COUNT: &str = "min_count";
const SKIPS: &str = "skips";

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

/// The settings of a table, each with its place.
type Settings<T> = BTreeMap<Key, (Range<usize>, T)>;

impl<'a> Reader<'a> {
    fn network(self, root: &Section<'a, '_>) -> Result<Network, SpaceError> {
        let layers = match root.section("layers", "in [layers]")? {
            Some(layers) => layers,
            None => return Err(root.missing("[layers] (or [[decision]])")),
        };
        let stem = root.section("stem", "in [stem]")?;
        let stem = stem.map(|stem| self.stem(&stem)).transpose()?;
        let blocks = self.layers(&layers, root.section("per_layer", "in [per_layer]")?)?;
        let least = match layers.get(MIN_COUNT) {
            Some(_) => layers.count(MIN_COUNT, &Domain::Count(blocks.len() as i64))?,
            None => blocks.len(),
        };
        let skips = layers.get(SKIPS).map_or(Ok(Skips::Off), |item| self.skips(item))?;
        let head = self.head(root.section("head", "in [head]")?)?;
        let network = Network { stem, layers: blocks, head, skips, least };
        if network.listing()?.decisions.is_empty() {
            return Err(self.error(layers.span, FileProblem::NothingToSearch));
        }
        if let (Some(item), Some(other)) = (layers.get(MIN_COUNT), fixes_depth(&network)?) {
            return Err(self.error(item.span(), FileProblem::Conflict { key: MIN_COUNT, other }));
        }
        Ok(network)
    }

    fn skips(self, item: &Item<'_>) -> Result<Skips, SpaceError> {
        let is_choice = |array: &DeArray<'_>| {
            array.iter().map(|item| item.get_ref().as_str()).eq([Some("off"), Some("on")])
        };
        match item.get_ref() {
            DeValue::String(word) if word == "off" => Ok(Skips::Off),
            DeValue::String(word) if word == "on" => Ok(Skips::On),
            DeValue::Array(array) if is_choice(array) => Ok(Skips::Decided),
            _ => {
                let expected = "\"off\", \"on\" or the choice [\"off\", \"on\"]".to_owned();
                Err(self.unexpected(SKIPS, item, expected))
            }
        }
    }

    fn stem(self, section: &Section<'a, '_>) -> Result<Block, SpaceError> {
        section.check_keys(&names(Key::LAYER))?;
        let settings = section.settings(Key::LAYER, Reader::setting)?;
        let spans = spans(&settings);
        let stem = block("stem".to_owned(), section.defaults(&spans)?, settings);
        self.check_block(&stem, &spans)?;
        Ok(stem)
    }

    fn layers(
        self,
        section: &Section<'a, '_>,
        per_layer: Option<Section<'a, '_>>,
    ) -> Result<Vec<Block>, SpaceError> {
        let mut known = vec![COUNT, MIN_COUNT, SKIPS];
        known.extend(names(Key::LAYER));
        section.check_keys(&known)?;
        let count = section.count(COUNT, &Domain::Count(MOST_LAYERS))?;
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
        let layers: Vec<Block> = (0..count).map(layer).collect();
        layers.iter().try_for_each(|layer| self.check_block(layer, &all))?;
        Ok(layers)
    }

    /// Whether the settings of a block go together, whatever is chosen.
    fn check_block(
        self,
        block: &Block,
        spans: &BTreeMap<Key, Range<usize>>,
    ) -> Result<(), SpaceError> {
        let is_default =
            |key: Key| block.settings.get(&key) == key.default().map(Setting::Fixed).as_ref();
        let conflict = |key: Key, other: Key| {
            let span = spans.get(&key).cloned().unwrap_or_default();
            let other = other.name().to_owned();
            Err(self.error(span, FileProblem::Conflict { key: key.name(), other }))
        };
        let undecided = matches!(block.settings[&Key::Type], Setting::Choice(_));
        if undecided && block.can_be_pool() && !is_default(Key::Pooling) {
            return conflict(Key::Pooling, Key::Type);
        }
        if !is_default(Key::Block) && !is_default(Key::Stride) {
            return conflict(Key::Block, Key::Stride);
        }
        Ok(())
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

    fn choice(self, item: &Item<'_>) -> Result<Value, SpaceError> {
        let expected = || self.unexpected("values", item, "a number or a string".to_owned());
        scalar(item.get_ref()).ok_or_else(expected)
    }
}

impl<'a, 't> Section<'a, 't> {
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

/// What keeps token strings from telling how many layers a network has.
fn fixes_depth(network: &Network) -> Result<Option<String>, SpaceError> {
    if network.least == network.layers.len() {
        return Ok(None);
    }
    let parts = network.listing()?.parts;
    let optional = parts.iter().filter(|part| part.is_layer).skip(network.least);
    let silent = optional.into_iter().find(|part| part.first == part.end);
    let head = parts.last().filter(|head| head.first < head.end);
    Ok(silent
        .map(|part| format!("{}, which decides nothing", part.name))
        .or_else(|| head.map(|_| "a decision in [head]".to_owned())))
}

fn names(keys: &[Key]) -> Vec<&'static str> {
    keys.iter().map(|key| key.name()).collect()
}
