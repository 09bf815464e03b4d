//! The checks that operations share: each answers with an error that names the operation.

use crate::{DType, Error, Memory, Result, Shape, Tensor};

/// `tensor` is of a type that is computed with.
pub(super) fn float<B: Memory>(op: &'static str, tensor: &Tensor<B>) -> Result<()> {
    match tensor.dtype() {
        DType::F32 | DType::BF16 | DType::F16 => Ok(()),
        found => Err(Error::DType { op, found, expected: "f32, bf16 or f16" }),
    }
}

/// `tensor` has exactly this dtype.
pub(super) fn dtype<B: Memory>(
    op: &'static str,
    tensor: &Tensor<B>,
    dtype: DType,
    expected: &'static str,
) -> Result<()> {
    match tensor.dtype() {
        found if found == dtype => Ok(()),
        found => Err(Error::DType { op, found, expected }),
    }
}

/// Two operands have one shape and one dtype.
pub(super) fn same<B: Memory>(op: &'static str, left: &Tensor<B>, right: &Tensor<B>) -> Result<()> {
    dtype(op, right, left.dtype(), "the dtype of the first operand")?;
    shape(op, right.shape(), left.shape(), "both operands must have one shape")
}

/// A shape is the one that the rule asks for.
pub(super) fn shape(
    op: &'static str,
    found: Shape,
    expected: Shape,
    rule: &'static str,
) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::ShapeMismatch { op, left: expected, right: found, rule })
}

/// A tensor has this many dimensions.
pub(super) fn rank<B: Memory>(
    op: &'static str,
    tensor: &Tensor<B>,
    rank: usize,
    rule: &'static str,
) -> Result<()> {
    if tensor.shape().len() == rank {
        return Ok(());
    }
    Err(Error::Shape { op, shape: tensor.shape(), rule })
}

/// Every element of a u32 tensor is below `bound`; `name` is what an element is. Reads the tensor
/// back from the device.
pub(super) fn indices<B: Memory>(
    op: &'static str,
    name: &'static str,
    tensor: &Tensor<B>,
    bound: usize,
) -> Result<()> {
    dtype(op, tensor, DType::U32, "u32")?;
    let indices = tensor.to_vec::<u32>()?;
    match indices.iter().enumerate().find(|(_, found)| **found as usize >= bound) {
        Some((position, &found)) => Err(Error::Index { op, name, position, found, bound }),
        None => Ok(()),
    }
}
