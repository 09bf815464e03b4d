//! The keys of a block, and the values that each can have.

use std::fmt;

use crate::Value;

/// The properties of a block, in the order of their decisions: what it is, then the paper's,
/// kernel, stride, filters, and then in the order of the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Type,
    Kernel,
    KernelHeight,
    KernelWidth,
    Stride,
    StrideHeight,
    StrideWidth,
    Filters,
    Block,
    Padding,
    BatchNorm,
    Activation,
    Pooling,
    PoolSize,
    Dropout,
}

/// The types of a layer.
pub(crate) const CONVOLUTION: &str = "conv";
pub(crate) const MAX_POOL: &str = "max_pool";
pub(crate) const AVERAGE_POOL: &str = "average_pool";

/// The values that a key can have.
pub(crate) enum Domain {
    /// From 1 to this.
    Count(i64),
    /// One of these.
    Words(&'static [&'static str]),
    /// From 0 to 1, 1 excluded.
    Rate,
}

impl Key {
    /// The keys of a layer.
    pub(crate) const LAYER: &[Key] = &[
        Key::Type,
        Key::Kernel,
        Key::KernelHeight,
        Key::KernelWidth,
        Key::Stride,
        Key::StrideHeight,
        Key::StrideWidth,
        Key::Filters,
        Key::Block,
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
            Key::Type => "type",
            Key::Kernel => "kernel",
            Key::KernelHeight => "kernel_height",
            Key::KernelWidth => "kernel_width",
            Key::Stride => "stride",
            Key::StrideHeight => "stride_height",
            Key::StrideWidth => "stride_width",
            Key::Filters => "filters",
            Key::Block => "block",
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
            Key::Type => Some(Value::from(CONVOLUTION)),
            Key::Stride | Key::Block => Some(Value::from(1)),
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
            Key::Type => Domain::Words(&[CONVOLUTION, MAX_POOL, AVERAGE_POOL]),
            Key::Filters => Domain::Count(65_536),
            Key::Block => Domain::Count(64),
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
