use super::{Activation, Rows, Sum, check};
use crate::{DType, Memory, Result, Tensor};

/// Biases on a device: one f32 value for each channel of rows of any float dtype.
pub trait BiasBackend: Memory {
    /// `y[r, c] = f(x[r, c] + b[c])`, in one pass and rounded once.
    fn bias(
        &self,
        rows: Rows,
        x: &Self::Buffer,
        b: &Self::Buffer,
        f: Option<Activation>,
        y: &mut Self::Buffer,
    ) -> Result<()>;

    /// `db[c] = sum_r dy[r, c]` in f32, or added to what is there.
    fn bias_backward(
        &self,
        rows: Rows,
        dy: &Self::Buffer,
        sum: Sum,
        db: &mut Self::Buffer,
    ) -> Result<()>;
}

/// `f(x + b)`: `x` is `[.., c]`, `b` is `[c]` and f32, the result has the shape and dtype of `x`.
///
/// # Errors
/// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) unless there is one bias for each channel.
pub fn bias<B: BiasBackend>(
    x: &Tensor<B>,
    b: &Tensor<B>,
    f: Option<Activation>,
) -> Result<Tensor<B>> {
    const OP: &str = "bias";
    let rows = Rows::of(OP, x)?;
    check_bias(OP, b, rows)?;
    let mut y = Tensor::zeros(x.backend(), x.dtype(), x.shape())?;
    x.backend().bias(rows, x.buffer(), b.buffer(), f, y.buffer_mut()?)?;
    Ok(y)
}

/// The gradient of `b` of [`bias`] without an activation: the f32 sums of the channels of `dy`.
/// Through an activation, `dy` is the result of
/// [`activation_backward`](super::activation_backward).
pub fn bias_backward<B: BiasBackend>(dy: &Tensor<B>) -> Result<Tensor<B>> {
    let rows = Rows::of("bias_backward", dy)?;
    let mut db = Tensor::zeros(dy.backend(), DType::F32, [rows.channels])?;
    dy.backend().bias_backward(rows, dy.buffer(), Sum::Store, db.buffer_mut()?)?;
    Ok(db)
}

/// [`bias_backward`] added to `db`, for gradients that are gathered over several pieces.
///
/// # Errors
/// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) unless `db` has one value for each
/// channel; [`Error::DType`](crate::Error::DType) unless it is f32.
pub fn bias_backward_add<B: BiasBackend>(dy: &Tensor<B>, db: &mut Tensor<B>) -> Result<()> {
    const OP: &str = "bias_backward_add";
    let rows = Rows::of(OP, dy)?;
    check_bias(OP, db, rows)?;
    dy.backend().bias_backward(rows, dy.buffer(), Sum::Add, db.buffer_mut()?)
}

fn check_bias<B: Memory>(op: &'static str, b: &Tensor<B>, rows: Rows) -> Result<()> {
    check::dtype(op, b, DType::F32, "f32 biases, whatever the activations are")?;
    check::shape(op, b.shape(), [rows.channels].into(), "one bias for each channel")
}
