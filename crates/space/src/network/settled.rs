//! Blocks whose every setting is settled: their operations, and those in words.

use std::collections::BTreeMap;

use super::{AVERAGE_POOL, Block, Key, MAX_POOL, Network, Presence, Setting, Skips};
use crate::{
    Activation, Conv2d, ConvolutionKind, Dropout, Extent, Op, Padding, Pool, PoolKind, Tokens,
    Value,
};

/// A network with everything settled.
pub(super) struct Choice<'a> {
    pub(super) stem: Option<Settled<'a>>,
    pub(super) layers: Vec<Layer<'a>>,
    pub(super) head: Settled<'a>,
}

/// A layer with every decision settled.
pub(super) struct Layer<'a> {
    pub(super) settled: Settled<'a>,
    /// Which layers it reads, ascending, counted from 0; none for the image.
    pub(super) sources: Vec<usize>,
}

/// A block with every decision settled.
pub(super) struct Settled<'a> {
    pub(super) block: &'a Block,
    values: BTreeMap<Key, &'a Value>,
}

/// An operation and the last part of its node's name.
pub(super) type Named = (&'static str, Op);

impl Network {
    /// What `tokens` choose, for as many layers as they have.
    pub(super) fn settle(&self, tokens: &Tokens) -> Choice<'_> {
        let mut indices = tokens.as_slice().iter().copied();
        let stem = self.stem.as_ref().map(|stem| stem.settle(&mut indices));
        let mut layers = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            // Token strings of fewer layers than all end where a layer does.
            if index >= self.least && indices.len() == 0 {
                break;
            }
            let settled = layer.settle(&mut indices);
            let sources = match self.skips {
                Skips::Off => index.checked_sub(1).into_iter().collect(),
                Skips::On => (0..index).collect(),
                Skips::Decided => {
                    let bits: Vec<u16> = indices.by_ref().take(index).collect();
                    (0..index).filter(|&source| bits[source] == 1).collect()
                }
            };
            layers.push(Layer { settled, sources });
        }
        Choice { stem, layers, head: self.head.settle(&mut indices) }
    }

    /// The layers in words, separated by commas.
    pub(crate) fn describe(&self, tokens: &Tokens) -> String {
        let Choice { stem, layers, head } = self.settle(tokens);
        let mut words: Vec<String> = stem.iter().map(|stem| self.words(stem)).collect();
        words.extend(layers.iter().enumerate().map(|(index, layer)| {
            let words = self.words(&layer.settled);
            match layer.sources.as_slice() {
                [] if index > 0 => format!("{words} of the image"),
                [] => words,
                [source] if source + 1 == index => words,
                sources => {
                    let sources: Vec<_> = sources.iter().map(|s| (s + 1).to_string()).collect();
                    format!("{words} of {}", sources.join("+"))
                }
            }
        }));
        words.extend(head.dropout().map(|dropout| format!("head {dropout}")));
        words.join(", ")
    }

    /// The operations of a block in words. An activation that is fixed at the default and batch
    /// normalisation that is in every block go without saying.
    fn words(&self, settled: &Settled<'_>) -> String {
        let fixed =
            |block: &Block, key, value| block.settings[&key] == Setting::Fixed(Value::from(value));
        let mut blocks = self.stem.iter().chain(&self.layers);
        let silent = [
            ("activation", fixed(settled.block, Key::Activation, "relu")),
            ("batch_norm", blocks.all(|block| fixed(block, Key::BatchNorm, "on"))),
        ];
        let named = |operations: Vec<Named>| {
            let said = |step: &str| !silent.contains(&(step, true));
            let said = operations.into_iter().filter(|(step, _)| said(step));
            said.map(|(_, op)| op.to_string()).collect::<Vec<_>>()
        };
        let mut words = named(settled.convolution());
        match settled.repeats() {
            1 => {}
            repeats => words = vec![format!("{repeats} dense {}", words.join(" + "))],
        }
        words.extend(named(settled.rest()));
        words.join(" + ")
    }
}

impl Block {
    /// The value of every key, the next of `indices` for each decision.
    fn settle(&self, indices: &mut impl Iterator<Item = u16>) -> Settled<'_> {
        let mut values = BTreeMap::new();
        for (&key, setting) in &self.settings {
            let value = match setting {
                Setting::Fixed(value) => value,
                Setting::Choice(choices) => match self.presence(key) {
                    Presence::Never => &choices[0],
                    _ => {
                        let index = indices.next().expect("tokens belong to this space");
                        &choices[usize::from(index)]
                    }
                },
            };
            values.insert(key, value);
        }
        Settled { block: self, values }
    }
}

impl Settled<'_> {
    /// The convolution and what is repeated with it, or nothing if the block is a pooling.
    pub(super) fn convolution(&self) -> Vec<Named> {
        if self.pool_type().is_some() {
            return Vec::new();
        }
        let batch_norm = self.word(Key::BatchNorm) == "on";
        let conv = Op::Conv2d(Conv2d {
            kind: ConvolutionKind::Full { filters: self.count(Key::Filters) },
            kernel: self.extent(Key::Kernel, Key::KernelHeight, Key::KernelWidth),
            stride: self.extent(Key::Stride, Key::StrideHeight, Key::StrideWidth),
            dilation: Extent::square(1),
            padding: self.padding(),
            bias: !batch_norm,
        });
        let activation = match self.word(Key::Activation) {
            "relu" => Some(Activation::Relu),
            "tanh" => Some(Activation::Tanh),
            "sigmoid" => Some(Activation::Sigmoid),
            _ => None,
        };
        let operations = [
            ("conv", Some(conv)),
            ("batch_norm", batch_norm.then_some(Op::BatchNorm)),
            ("activation", activation.map(Op::Activation)),
        ];
        operations.into_iter().filter_map(|(step, op)| Some((step, op?))).collect()
    }

    /// How many convolutions there are, each of which reads all before it.
    pub(super) fn repeats(&self) -> usize {
        if self.pool_type().is_some() { 1 } else { self.count(Key::Block) }
    }

    /// What follows the convolutions.
    pub(super) fn rest(&self) -> Vec<Named> {
        let after = match self.word(Key::Pooling) {
            "max" => Some(PoolKind::Max),
            "average" => Some(PoolKind::Average),
            _ => None,
        };
        let kind = self.pool_type().or(after);
        let size = Extent::square(self.count(Key::PoolSize));
        let pool = |kind| Op::Pool(Pool { kind, size, stride: size, padding: self.padding() });
        let operations = [("pool", kind.map(pool)), ("dropout", self.dropout())];
        operations.into_iter().filter_map(|(step, op)| Some((step, op?))).collect()
    }

    pub(super) fn dropout(&self) -> Option<Op> {
        let rate = match self.values[&Key::Dropout] {
            Value::Real(rate) => rate.get(),
            _ => return None,
        };
        Some(Op::Dropout(Dropout { rate }))
    }

    /// What the block pools, if it is a pooling in place of a convolution.
    fn pool_type(&self) -> Option<PoolKind> {
        match self.word(Key::Type) {
            MAX_POOL => Some(PoolKind::Max),
            AVERAGE_POOL => Some(PoolKind::Average),
            _ => None,
        }
    }

    fn padding(&self) -> Padding {
        match self.word(Key::Padding) {
            "valid" => Padding::Valid,
            _ => Padding::Same,
        }
    }

    fn extent(&self, square: Key, height: Key, width: Key) -> Extent {
        if self.values.contains_key(&square) {
            Extent::square(self.count(square))
        } else {
            Extent { height: self.count(height), width: self.count(width) }
        }
    }

    fn count(&self, key: Key) -> usize {
        match self.values[&key] {
            &Value::Integer(count) => usize::try_from(count).expect("counts are positive"),
            value => unreachable!("{} is {value}, which its domain excludes", key.name()),
        }
    }

    fn word(&self, key: Key) -> &str {
        match self.values[&key] {
            Value::Word(word) => word,
            value => unreachable!("{} is {value}, which its domain excludes", key.name()),
        }
    }
}
