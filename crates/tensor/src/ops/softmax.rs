use super::{Rows, check};
use crate::{Memory, Result, Tensor};

/// Softmax on a device; the operands of a call share one float dtype.
pub trait SoftmaxBackend: Memory {
    /// `y[i][j] = exp(x[i][j] - m[i]) / sum_k exp(x[i][k] - m[i])`, where `m[i]` is the largest
    /// element of row `i`.
    fn softmax(&self, rows: Rows, x: &Self::Buffer, y: &mut Self::Buffer) -> Result<()>;

    /// `dx[i][j] = y[i][j] (dy[i][j] - sum_k y[i][k] dy[i][k])`, with `y = softmax(x)`.
    fn softmax_backward(
        &self,
        rows: Rows,
        y: &Self::Buffer,
        dy: &Self::Buffer,
        dx: &mut Self::Buffer,
    ) -> Result<()>;

    /// `y[i][j] = x[i][j] - m[i] - ln sum_k exp(x[i][k] - m[i])`, with `m` as in
    /// [`SoftmaxBackend::softmax`].
    fn log_softmax(&self, rows: Rows, x: &Self::Buffer, y: &mut Self::Buffer) -> Result<()>;

    /// `dx[i][j] = dy[i][j] - exp(y[i][j]) sum_k dy[i][k]`, with `y = log_softmax(x)`.
    fn log_softmax_backward(
        &self,
        rows: Rows,
        y: &Self::Buffer,
        dy: &Self::Buffer,
        dx: &mut Self::Buffer,
    ) -> Result<()>;
}

/// `exp(x) / sum exp(x)` over the last dimension: positive numbers that add up to 1. Logits of any
/// magnitude are safe, since the largest of a row is subtracted first; `-inf` gives 0, as long as
/// the row has a finite element.
///
/// # Errors
/// [`Error::DType`](crate::Error::DType) unless `x` is of a float dtype,
/// [`Error::Shape`](crate::Error::Shape) if it has no last dimension or that is 0.
pub fn softmax<B: SoftmaxBackend>(x: &Tensor<B>) -> Result<Tensor<B>> {
    forward("softmax", x, B::softmax)
}

/// The gradient of [`softmax`] by `x`: `y (dy - sum y dy)`, from its output `y`.
///
/// # Errors
/// Those of [`softmax`], and [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) or
/// [`Error::DType`](crate::Error::DType) unless `y` and `dy` have one shape and dtype.
pub fn softmax_backward<B: SoftmaxBackend>(y: &Tensor<B>, dy: &Tensor<B>) -> Result<Tensor<B>> {
    backward("softmax_backward", [y, dy], B::softmax_backward)
}

/// The logarithm of [`softmax`], without the loss of small probabilities that taking the logarithm
/// afterwards would bring.
///
/// # Errors
/// Those of [`softmax`].
pub fn log_softmax<B: SoftmaxBackend>(x: &Tensor<B>) -> Result<Tensor<B>> {
    forward("log_softmax", x, B::log_softmax)
}

/// The gradient of [`log_softmax`] by `x`: `dy - exp(y) sum dy`, from its output `y`.
///
/// # Errors
/// Those of [`softmax_backward`].
pub fn log_softmax_backward<B: SoftmaxBackend>(y: &Tensor<B>, dy: &Tensor<B>) -> Result<Tensor<B>> {
    backward("log_softmax_backward", [y, dy], B::log_softmax_backward)
}

fn forward<B: Memory>(
    op: &'static str,
    x: &Tensor<B>,
    compute: impl FnOnce(&B, Rows, &B::Buffer, &mut B::Buffer) -> Result<()>,
) -> Result<Tensor<B>> {
    let rows = Rows::of(op, x)?;
    let mut y = Tensor::zeros(x.backend(), x.dtype(), x.shape())?;
    compute(x.backend(), rows, x.buffer(), y.buffer_mut()?)?;
    Ok(y)
}

fn backward<B: Memory>(
    op: &'static str,
    [y, dy]: [&Tensor<B>; 2],
    compute: impl FnOnce(&B, Rows, &B::Buffer, &B::Buffer, &mut B::Buffer) -> Result<()>,
) -> Result<Tensor<B>> {
    let rows = Rows::of(op, y)?;
    check::same(op, y, dy)?;
    let mut dx = Tensor::zeros(y.backend(), y.dtype(), y.shape())?;
    compute(y.backend(), rows, y.buffer(), dy.buffer(), dx.buffer_mut()?)?;
    Ok(dx)
}
