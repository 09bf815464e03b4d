use super::check;
use crate::{Memory, Result, Tensor};

/// Sums of two activations on a device, all of one float dtype.
pub trait AddBackend: Memory {
    /// `y[i] = a[i] + b[i]` for `i < len`.
    fn add(
        &self,
        len: usize,
        a: &Self::Buffer,
        b: &Self::Buffer,
        y: &mut Self::Buffer,
    ) -> Result<()>;

    /// `y[i] += x[i]` for `i < len`.
    fn add_assign(&self, len: usize, x: &Self::Buffer, y: &mut Self::Buffer) -> Result<()>;
}

/// `a + b`, element by element: the join of a residual connection. The gradient of either operand
/// is that of the sum.
///
/// # Errors
/// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) or [`Error::DType`](crate::Error::DType)
/// unless both have one shape and one float dtype.
pub fn add<B: AddBackend>(a: &Tensor<B>, b: &Tensor<B>) -> Result<Tensor<B>> {
    const OP: &str = "add";
    check::float(OP, a)?;
    check::same(OP, a, b)?;
    let mut y = Tensor::zeros(a.backend(), a.dtype(), a.shape())?;
    a.backend().add(a.shape().count(), a.buffer(), b.buffer(), y.buffer_mut()?)?;
    Ok(y)
}

/// `y += x`, element by element: the gradient of a value that is used more than once.
///
/// # Errors
/// Those of [`add`].
pub fn add_assign<B: AddBackend>(y: &mut Tensor<B>, x: &Tensor<B>) -> Result<()> {
    const OP: &str = "add_assign";
    check::float(OP, y)?;
    check::same(OP, y, x)?;
    x.backend().add_assign(x.shape().count(), x.buffer(), y.buffer_mut()?)
}
