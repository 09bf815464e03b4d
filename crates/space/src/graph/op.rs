//! The operations of a layer graph.

use std::fmt;

use serde::Serialize;

use super::geometry::{Extent, Padding, Sides, Window};

/// What a node computes. All images are NHWC.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "op", content = "options")]
pub enum Op {
    /// The image that the network is given.
    Input,
    /// Cross-correlation with learned filters over a zero-padded image.
    Conv2d(Conv2d),
    /// `gamma * (x - mean) / sqrt(variance + epsilon) + beta` a channel. Epsilon and the momentum
    /// of the running statistics belong to the training recipe.
    BatchNorm,
    /// A function of every element alone.
    Activation(Activation),
    /// The maximum or the mean of each window, a channel.
    Pool(Pool),
    /// The mean of each channel: `[h, w, c]` to `[1, 1, c]`.
    GlobalAveragePool,
    /// `y = x W + b`, with the image flattened in memory order: `[h, w, c]` to `[1, 1, units]`.
    Dense(Dense),
    /// In training, zero with probability `rate`, else divided by `1 - rate`; otherwise identity.
    Dropout(Dropout),
    /// The sum of two or more images of one shape; their order does not matter.
    Add,
    /// Images of one extent side by side along the channels, in the order of the inputs.
    Concat,
    /// Zeros around the image.
    ZeroPad(Sides),
}

/// Options of [`Op::Conv2d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Conv2d {
    /// Which channels a filter reads.
    pub kind: ConvolutionKind,
    /// Height and width of the filters.
    pub kernel: Extent,
    /// Step from one output to the next.
    pub stride: Extent,
    /// Step from one tap of a filter to the next; 1 is dense.
    pub dilation: Extent,
    /// Zeros around the image.
    pub padding: Padding,
    /// Whether a learned number is added to each output channel.
    pub bias: bool,
}

/// Which channels the filters of a convolution read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConvolutionKind {
    /// Every filter reads all channels.
    Full {
        /// Number of filters, and so of output channels.
        filters: usize,
    },
    /// One filter a channel, which reads that channel only.
    Depthwise,
}

/// Options of [`Op::Activation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// `tanh(x)`
    Tanh,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
}

/// Options of [`Op::Pool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// What is taken of a window.
    pub kind: PoolKind,
    /// Height and width of the window.
    pub size: Extent,
    /// Step from one window to the next.
    pub stride: Extent,
    /// How far windows reach over the edge, less than their size on each side. What lies beyond
    /// the edge takes no part: it never is the maximum, and a mean divides by the number of
    /// positions inside the image, as TensorFlow does.
    pub padding: Padding,
}

/// What a pooling takes of each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolKind {
    /// The largest element.
    Max,
    /// The mean.
    Average,
}

/// Options of [`Op::Dense`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dense {
    /// Number of outputs.
    pub units: usize,
}

/// Options of [`Op::Dropout`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Dropout {
    /// Probability of a zero, in `[0, 1)`.
    pub rate: f64,
}

impl Op {
    /// The window that slides over the image, where the operation has one.
    pub fn window(&self) -> Option<Window> {
        match *self {
            Op::Conv2d(Conv2d { kernel, stride, dilation, padding, .. }) => {
                Some(Window { size: kernel, stride, dilation, padding })
            }
            Op::Pool(Pool { size, stride, padding, .. }) => {
                Some(Window { size, stride, dilation: Extent::square(1), padding })
            }
            _ => None,
        }
    }
}

/// In words, as `conv 3x3 64 /2`: kernel, filters, stride. Padding is named unless it is 'same'.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Input => write!(f, "input"),
            Op::Conv2d(conv) => {
                match conv.kind {
                    ConvolutionKind::Full { filters } => {
                        write!(f, "conv {} {filters}", conv.kernel)
                    }
                    ConvolutionKind::Depthwise => write!(f, "depthwise conv {}", conv.kernel),
                }?;
                write_step(f, " /", conv.stride)?;
                write_step(f, " dilated ", conv.dilation)?;
                write_padding(f, conv.padding)
            }
            Op::BatchNorm => write!(f, "batch norm"),
            Op::Activation(activation) => activation.fmt(f),
            Op::Pool(pool) => {
                write!(f, "{} pool {}", pool.kind, pool.size)?;
                write_step(f, " /", pool.stride)?;
                write_padding(f, pool.padding)
            }
            Op::GlobalAveragePool => write!(f, "global average pool"),
            Op::Dense(Dense { units }) => write!(f, "dense {units}"),
            Op::Dropout(Dropout { rate }) => write!(f, "dropout {rate}"),
            Op::Add => write!(f, "add"),
            Op::Concat => write!(f, "concat"),
            Op::ZeroPad(sides) => write!(f, "zero pad {sides}"),
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Activation::Relu => "relu",
            Activation::Tanh => "tanh",
            Activation::Sigmoid => "sigmoid",
        })
    }
}

impl fmt::Display for PoolKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PoolKind::Max => "max",
            PoolKind::Average => "average",
        })
    }
}

fn write_step(f: &mut fmt::Formatter<'_>, label: &str, step: Extent) -> fmt::Result {
    if step == Extent::square(1) {
        Ok(())
    } else if step.height == step.width {
        write!(f, "{label}{}", step.height)
    } else {
        write!(f, "{label}{step}")
    }
}

fn write_padding(f: &mut fmt::Formatter<'_>, padding: Padding) -> fmt::Result {
    match padding {
        Padding::Same => Ok(()),
        Padding::Valid => write!(f, " valid"),
        Padding::Explicit(sides) => write!(f, " padded {sides}"),
    }
}
