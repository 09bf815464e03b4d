//! What a space says about its networks: blocks of settings, each fixed or to be decided.

mod build;
mod key;
mod settled;

use std::collections::BTreeMap;

use crate::decision::Condition;
use crate::{Decision, SpaceError, Step, Value};

pub(crate) use key::{AVERAGE_POOL, CONVOLUTION, Domain, Key, MAX_POOL};

/// The networks of a space: an optional stem, layers in order, a head.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Network {
    pub(crate) stem: Option<Block>,
    pub(crate) layers: Vec<Block>,
    pub(crate) head: Block,
    pub(crate) skips: Skips,
    /// The fewest layers that a network can have; with fewer than all, the head decides nothing.
    pub(crate) least: usize,
}

/// Which earlier layers a layer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skips {
    /// The one before it.
    Off,
    /// All of them.
    On,
    /// Those whose bit is 1: a decision for each.
    Decided,
}

/// A named part of a network and its settings, defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) name: String,
    pub(crate) settings: BTreeMap<Key, Setting>,
}

/// One property of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Fixed(Value),
    /// A decision. Its values suit the key and can be the values of a [`Decision`].
    Choice(Vec<Value>),
}

/// The decisions of a network, and how they are grouped.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Listing {
    pub(crate) decisions: Vec<Decision>,
    pub(crate) steps: Vec<Step>,
    pub(crate) parts: Vec<Part>,
}

/// The decisions of one block, skips last.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) is_layer: bool,
    pub(crate) first: usize,
    pub(crate) first_skip: usize,
    pub(crate) end: usize,
}

/// When the operation that reads a setting is there.
enum Presence {
    Never,
    Always,
    /// If the setting of this key has one of these indices among its choices.
    If(Key, Vec<u16>),
}

impl Network {
    /// The decisions in token order: block by block, in each by [`Key`], then the layer's skips.
    pub(crate) fn listing(&self) -> Result<Listing, SpaceError> {
        let mut listing = Listing::default();
        if let Some(stem) = &self.stem {
            listing.add(stem, None)?;
        }
        for (index, layer) in self.layers.iter().enumerate() {
            listing.add(layer, Some((index, self.skips)))?;
        }
        listing.add(&self.head, None)?;
        Ok(listing)
    }
}

impl Listing {
    /// Adds the decisions of a block; `layer` is its place among the layers, if it is one.
    fn add(&mut self, block: &Block, layer: Option<(usize, Skips)>) -> Result<(), SpaceError> {
        let first = self.decisions.len();
        let mut places = BTreeMap::new();
        for (&key, setting) in &block.settings {
            let Setting::Choice(values) = setting else { continue };
            let name = format!("{}.{}", block.name, key.name());
            let decision = Decision::new(name, key.name(), values.clone())?;
            let decision = match block.presence(key) {
                Presence::Never => continue,
                Presence::Always => decision,
                Presence::If(governor, choices) => {
                    decision.only_if(Condition { decision: places[&governor], choices })
                }
            };
            places.insert(key, self.decisions.len());
            self.steps.push(Step::Choice { decision: self.decisions.len() });
            self.decisions.push(decision);
        }
        let first_skip = self.decisions.len();
        if let Some((index, Skips::Decided)) = layer {
            for source in 1..=index {
                let name = format!("{}.skip{source}", block.name);
                self.decisions.push(Decision::new(name, "skip", vec![0.into(), 1.into()])?);
            }
            self.steps.push(Step::Anchor { decisions: first_skip..self.decisions.len() });
        }
        let (name, is_layer, end) = (block.name.clone(), layer.is_some(), self.decisions.len());
        self.parts.push(Part { name, is_layer, first, first_skip, end });
        Ok(())
    }
}

impl Block {
    /// When an operation reads the setting of `key`.
    fn presence(&self, key: Key) -> Presence {
        let (governor, needed) = match key {
            Key::Dropout | Key::Padding | Key::Type => return Presence::Always,
            Key::PoolSize if self.can_be_pool() => (Key::Type, [MAX_POOL, AVERAGE_POOL].as_slice()),
            Key::PoolSize => (Key::Pooling, ["max", "average"].as_slice()),
            _ => (Key::Type, [CONVOLUTION].as_slice()),
        };
        let suits = |value: &Value| matches!(value, Value::Word(w) if needed.contains(&w.as_str()));
        match &self.settings[&governor] {
            Setting::Fixed(value) if suits(value) => Presence::Always,
            Setting::Fixed(_) => Presence::Never,
            Setting::Choice(values) => {
                let indices = (0..).zip(values).filter(|(_, value)| suits(value));
                let choices: Vec<u16> = indices.map(|(index, _)| index).collect();
                match choices.len() {
                    0 => Presence::Never,
                    all if all == values.len() => Presence::Always,
                    _ => Presence::If(governor, choices),
                }
            }
        }
    }

    /// Whether the block is, or can become, a pooling in place of a convolution.
    pub(crate) fn can_be_pool(&self) -> bool {
        match self.settings.get(&Key::Type) {
            Some(Setting::Fixed(value)) => *value != Value::from(CONVOLUTION),
            Some(Setting::Choice(values)) => values.iter().any(|v| *v != Value::from(CONVOLUTION)),
            None => false,
        }
    }
}
