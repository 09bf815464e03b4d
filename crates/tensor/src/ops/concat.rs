use super::{Rows, Sum, check};
use crate::{Error, Memory, Result, Shape, Tensor};

/// A copy of neighbouring channels of every row, between buffers of different widths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CopyChannels {
    /// How many rows both have.
    pub rows: usize,
    /// How many channels of a row are copied.
    pub channels: usize,
    /// Where they are read.
    pub from: ChannelRange,
    /// Where they are written.
    pub to: ChannelRange,
}

/// Where neighbouring channels are in the rows of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelRange {
    /// The first of them.
    pub first: usize,
    /// All channels of a row.
    pub width: usize,
}

/// Concatenations and their gradients on a device.
pub trait ConcatBackend: Memory {
    /// `y[r, to.first + c] = x[r, from.first + c]` for `c < channels`, or added to what is there;
    /// both of one float dtype. Other channels of `y` are left as they are.
    fn copy_channels(
        &self,
        geometry: &CopyChannels,
        x: &Self::Buffer,
        sum: Sum,
        y: &mut Self::Buffer,
    ) -> Result<()>;
}

/// The channels of the inputs side by side: each is `[.., c_i]` with the same other dimensions and
/// dtype, the result `[.., sum c_i]`.
///
/// # Errors
/// [`Error::Parameter`] if there is no input; [`Error::ShapeMismatch`] if the inputs differ in
/// more than their channels.
pub fn concat<B: ConcatBackend>(inputs: &[&Tensor<B>]) -> Result<Tensor<B>> {
    const OP: &str = "concat";
    let Some((&leader, others)) = inputs.split_first() else {
        let (name, value) = ("the number of inputs", "0".to_string());
        return Err(Error::Parameter { op: OP, name, value, rule: "at least 1" });
    };
    let mut width = Rows::of(OP, leader)?.channels;
    for &input in others {
        let channels = Rows::of(OP, input)?.channels;
        check::dtype(OP, input, leader.dtype(), "the dtype of the first input")?;
        let alike = with_channels(leader.shape(), channels);
        check::shape(OP, input.shape(), alike, "all but the last dimension must be the same")?;
        width += channels;
    }
    let shape = with_channels(leader.shape(), width);
    let mut y = Tensor::zeros(leader.backend(), leader.dtype(), shape)?;
    let mut first = 0;
    for &input in inputs {
        let Rows { count: rows, channels } = Rows::of(OP, input)?;
        let from = ChannelRange { first: 0, width: channels };
        let geometry = CopyChannels { rows, channels, from, to: ChannelRange { first, width } };
        let into = y.buffer_mut()?;
        leader.backend().copy_channels(&geometry, input.buffer(), Sum::Store, into)?;
        first += channels;
    }
    Ok(y)
}

/// The gradients of the inputs of [`concat()`], which had these numbers of channels: the slices of
/// `dy`.
///
/// # Errors
/// [`Error::Parameter`] unless each has a channel and all add up to those of `dy`.
pub fn concat_backward<B: ConcatBackend>(
    dy: &Tensor<B>,
    channels: &[usize],
) -> Result<Vec<Tensor<B>>> {
    const OP: &str = "concat_backward";
    let Rows { count: rows, channels: width } = Rows::of(OP, dy)?;
    if channels.contains(&0) || channels.iter().sum::<usize>() != width {
        let (name, value) = ("channels", format!("{channels:?} of {width}"));
        let rule = "at least 1 each, and those of dy together";
        return Err(Error::Parameter { op: OP, name, value, rule });
    }
    let mut first = 0;
    let mut slice = |&channels: &usize| {
        let shape = with_channels(dy.shape(), channels);
        let mut dx = Tensor::zeros(dy.backend(), dy.dtype(), shape)?;
        let from = ChannelRange { first, width };
        let to = ChannelRange { first: 0, width: channels };
        let geometry = CopyChannels { rows, channels, from, to };
        dy.backend().copy_channels(&geometry, dy.buffer(), Sum::Store, dx.buffer_mut()?)?;
        first += channels;
        Ok(dx)
    };
    channels.iter().map(&mut slice).collect()
}

fn with_channels(shape: Shape, channels: usize) -> Shape {
    let outer = &shape.dims()[..shape.len().saturating_sub(1)];
    Shape::new(&[outer, &[channels]].concat())
}
