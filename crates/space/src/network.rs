//! What a space says about its networks: blocks of settings, lowered to a layer graph.

use std::collections::BTreeMap;
use std::fmt;

use crate::{
    Activation, Conv2d, ConvolutionKind, Decision, Dense, Dropout, Extent, Graph, GraphBuilder,
    GraphError, Image, Op, Padding, Pool, PoolKind, SpaceError, Tokens, Value,
};

/// The networks of a space: an optional stem, layers in order, a head.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Network {
    pub(crate) stem: Option<Block>,
    pub(crate) layers: Vec<Block>,
    pub(crate) head: Block,
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

/// The properties of a block, in the order of their decisions: the paper's, kernel, stride,
/// filters, and then in the order of the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Kernel,
    KernelHeight,
    KernelWidth,
    Stride,
    StrideHeight,
    StrideWidth,
    Filters,
    Padding,
    BatchNorm,
    Activation,
    Pooling,
    PoolSize,
    Dropout,
}

/// The values that a key can have.
pub(crate) enum Domain {
    /// From 1 to this.
    Count(i64),
    /// One of these.
    Words(&'static [&'static str]),
    /// From 0 to 1, 1 excluded.
    Rate,
}

/// A block with every decision settled.
struct Settled<'a> {
    block: &'a Block,
    values: BTreeMap<Key, &'a Value>,
}

impl Network {
    /// The decisions in token order: block by block, in each by [`Key`].
    pub(crate) fn decisions(&self) -> Result<Vec<Decision>, SpaceError> {
        let mut decisions = Vec::new();
        for block in self.blocks() {
            for (key, setting) in &block.settings {
                if let Setting::Choice(values) = setting {
                    let name = format!("{}.{}", block.name, key.name());
                    decisions.push(Decision::new(name, key.name(), values.clone())?);
                }
            }
        }
        Ok(decisions)
    }

    /// The layer graph for one choice of everything.
    pub(crate) fn build(
        &self,
        tokens: &Tokens,
        input: Image,
        classes: usize,
    ) -> Result<Graph, GraphError> {
        let mut builder = GraphBuilder::new(input)?;
        let mut settled = self.settle(tokens);
        let head = settled.pop().expect("the head is the last block");
        let mut last = builder.input();
        for block in &settled {
            for (step, op) in block.operations() {
                last = builder.add(format!("{}.{step}", block.block.name), op, &[last])?;
            }
        }
        last = builder.add("head.pool", Op::GlobalAveragePool, &[last])?;
        if let Some(dropout) = head.dropout() {
            last = builder.add("head.dropout", dropout, &[last])?;
        }
        let output = builder.add("head.dense", Op::Dense(Dense { units: classes }), &[last])?;
        Ok(builder.finish(output))
    }

    /// The layers in words, separated by commas.
    pub(crate) fn describe(&self, tokens: &Tokens) -> String {
        let mut settled = self.settle(tokens);
        let head = settled.pop().expect("the head is the last block");
        let mut words: Vec<String> = settled.iter().map(Settled::words).collect();
        words.extend(head.dropout().map(|dropout| format!("head {dropout}")));
        words.join(", ")
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.stem.iter().chain(&self.layers).chain([&self.head])
    }

    fn settle(&self, tokens: &Tokens) -> Vec<Settled<'_>> {
        let mut choices = tokens.as_slice().iter();
        let settle = |block| Settled { block, values: block.settle(&mut choices) };
        self.blocks().map(settle).collect()
    }
}

impl Block {
    /// The value of every key, the next of `choices` for each decision.
    fn settle<'s, 't>(
        &'s self,
        choices: &mut impl Iterator<Item = &'t u16>,
    ) -> BTreeMap<Key, &'s Value> {
        let value = |(&key, setting): (&Key, &'s Setting)| match setting {
            Setting::Fixed(value) => (key, value),
            Setting::Choice(values) => {
                let &choice = choices.next().expect("tokens belong to this space");
                (key, &values[usize::from(choice)])
            }
        };
        self.settings.iter().map(value).collect()
    }
}

impl Settled<'_> {
    /// What the block does, in order, each with the last part of its node's name.
    fn operations(&self) -> Vec<(&'static str, Op)> {
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
        let pooling = match self.word(Key::Pooling) {
            "max" => Some(PoolKind::Max),
            "average" => Some(PoolKind::Average),
            _ => None,
        };
        let size = Extent::square(self.count(Key::PoolSize));
        let pool = |kind| Op::Pool(Pool { kind, size, stride: size, padding: self.padding() });
        let operations = [
            ("conv", Some(conv)),
            ("batch_norm", batch_norm.then_some(Op::BatchNorm)),
            ("activation", activation.map(Op::Activation)),
            ("pool", pooling.map(pool)),
            ("dropout", self.dropout()),
        ];
        operations.into_iter().filter_map(|(step, op)| Some((step, op?))).collect()
    }

    /// The operations in words, without an activation that is fixed at the default.
    fn words(&self) -> String {
        let default = Key::Activation.default().map(Setting::Fixed);
        let plain = self.block.settings.get(&Key::Activation) == default.as_ref();
        let operations = self.operations();
        let named = operations.iter().filter(|(step, _)| !(plain && *step == "activation"));
        named.map(|(_, op)| op.to_string()).collect::<Vec<_>>().join(" + ")
    }

    fn dropout(&self) -> Option<Op> {
        let rate = match self.values[&Key::Dropout] {
            Value::Real(rate) => rate.get(),
            _ => return None,
        };
        Some(Op::Dropout(Dropout { rate }))
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

impl Key {
    /// The keys of a layer.
    pub(crate) const LAYER: &[Key] = &[
        Key::Kernel,
        Key::KernelHeight,
        Key::KernelWidth,
        Key::Stride,
        Key::StrideHeight,
        Key::StrideWidth,
        Key::Filters,
        Key::Padding,
        Key::BatchNorm,
        Key::Activation,
        Key::Pooling,
        Key::PoolSize,
        Key::Dropout,
    ];

    /// The keys of the head.
    pub(crate) const HEAD: &[Key] = &[Key::Dropout];

    /// As written in files and in the names of decisions.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Key::Kernel => "kernel",
            Key::KernelHeight => "kernel_height",
            Key::KernelWidth => "kernel_width",
            Key::Stride => "stride",
            Key::StrideHeight => "stride_height",
            Key::StrideWidth => "stride_width",
            Key::Filters => "filters",
            Key::Padding => "padding",
            Key::BatchNorm => "batch_norm",
            Key::Activation => "activation",
            Key::Pooling => "pooling",
            Key::PoolSize => "pool_size",
            Key::Dropout => "dropout",
        }
    }

    /// What it is when a file does not say.
    pub(crate) fn default(self) -> Option<Value> {
        match self {
            Key::Kernel | Key::KernelHeight | Key::KernelWidth | Key::Filters => None,
            Key::StrideHeight | Key::StrideWidth => None,
            Key::Stride => Some(Value::from(1)),
            Key::Padding => Some(Value::from("same")),
            Key::BatchNorm => Some(Value::from("off")),
            Key::Activation => Some(Value::from("relu")),
            Key::Pooling => Some(Value::from("none")),
            Key::PoolSize => Some(Value::from(2)),
            Key::Dropout => Some(Value::from(0)),
        }
    }

    pub(crate) fn domain(self) -> Domain {
        match self {
            Key::Filters => Domain::Count(65_536),
            Key::Padding => Domain::Words(&["same", "valid"]),
            Key::BatchNorm => Domain::Words(&["off", "on"]),
            Key::Activation => Domain::Words(&["none", "relu", "tanh", "sigmoid"]),
            Key::Pooling => Domain::Words(&["none", "max", "average"]),
            Key::Dropout => Domain::Rate,
            _ => Domain::Count(1024),
        }
    }
}

impl Domain {
    pub(crate) fn contains(&self, value: &Value) -> bool {
        match (self, value) {
            (Domain::Count(most), Value::Integer(count)) => (1..=*most).contains(count),
            (Domain::Words(words), Value::Word(word)) => words.contains(&word.as_str()),
            (Domain::Rate, Value::Integer(rate)) => *rate == 0,
            (Domain::Rate, Value::Real(rate)) => (0.0..1.0).contains(&rate.get()),
            _ => false,
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Domain::Count(most) => write!(f, "an integer from 1 to {most}"),
            Domain::Words(words) => {
                let quoted: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
                match quoted.as_slice() {
                    [first, second] => write!(f, "{first} or {second}"),
                    quoted => write!(f, "one of {}", quoted.join(", ")),
                }
            }
            Domain::Rate => write!(f, "a number of at least 0 and less than 1"),
        }
    }
}
