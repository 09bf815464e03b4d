use super::check;
use crate::{Error, Memory, Result, Tensor};

/// An array of any rank seen as rows of channels, its last dimension: NHWC activations are
/// `n h w` rows of `c` channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rows {
    /// How many rows there are.
    pub count: usize,
    /// How many elements a row has.
    pub channels: usize,
}

impl Rows {
    /// How many elements there are.
    pub fn elements(self) -> usize {
        self.count * self.channels
    }

    /// The rows of a float tensor that has channels, for the operation named `op`.
    pub(super) fn of<B: Memory>(op: &'static str, tensor: &Tensor<B>) -> Result<Self> {
        check::float(op, tensor)?;
        let shape = tensor.shape();
        match shape.dims().split_last() {
            Some((&channels, outer)) if channels > 0 => {
                Ok(Rows { count: outer.iter().product(), channels })
            }
            _ => {
                let rule = "the last dimension, the channels, is at least 1";
                Err(Error::Shape { op, shape, rule })
            }
        }
    }
}
