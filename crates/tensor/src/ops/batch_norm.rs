use super::{Activation, Rows, check};
use crate::{DType, Error, Memory, Result, Tensor};

/// Batch normalisation of rows of channels, with the activation that follows fused:
///
/// ```text
/// y = f(gamma (x - mean) / sqrt(variance + epsilon) + beta) = f(scale x + shift)
/// ```
///
/// In training, mean and variance are those of the batch's rows; the variance is the biased one,
/// `sum (x - mean)^2 / rows`. In inference they are the running statistics, exponential moving
/// averages of the batches' means and of the same biased variances. (PyTorch averages the unbiased
/// variance, Keras the biased one unless its kernel is a fused one; over the thousands of rows
/// that a convolution has, the two are the same.)
///
/// Ioffe and Szegedy 2015, arXiv 1502.03167, algorithms 1 and 2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Channels of a row.
    pub channels: usize,
    /// What is added to the variance.
    pub epsilon: f32,
    /// What the running statistics keep of themselves at each batch.
    pub momentum: f32,
    /// The function that follows, in the same pass.
    pub activation: Option<Activation>,
}

/// Statistics of a block of rows, of its moments or of sums over it, as one or several parts of the
/// block have them.
#[derive(Debug)]
pub struct Parts<'a, B: Memory> {
    /// How many parts there are, at least 1; some may have no rows.
    pub count: usize,
    /// `[count, 3, c]` moments or `[count, 2, c]` sums, in the order in which they are combined.
    pub buffer: &'a B::Buffer,
}

/// Where the gradient of a block of rows comes from: `g = f'(scale x + shift) dy`.
///
/// The activation's derivative is taken at its recomputed argument, so that its output need be
/// neither kept nor read.
#[derive(Debug)]
pub struct Upstream<'a, B: Memory> {
    /// The fused activation `f`.
    pub activation: Option<Activation>,
    /// The input of the forward pass.
    pub x: &'a B::Buffer,
    /// The gradient of the output, of the dtype of `x`.
    pub dy: &'a B::Buffer,
}

/// Batch normalisation on a device, in phases that a caller who keeps the batch in blocks of rows
/// runs block by block.
///
/// Activations and their gradients are of any float dtype; everything that there is once a channel
/// is f32 and a matrix of rows of `c` channels:
///
/// ```text
/// parameters   [2, c]  gamma, beta; their gradients likewise
/// running      [2, c]  mean, variance
/// moments      [3, c]  rows, mean, sum of squared deviations of a part of a block
/// normalizer   [4, c]  scale, shift, mean, 1 / sqrt(variance + epsilon)
/// sums         [2, c]  S1 = sum g, S2 = sum g (x - mean) of a part of a block
/// coefficients [4, c]  scale, shift, B, C of dx = scale g + B x + C
/// ```
pub trait BatchNormBackend: Memory {
    /// The moments of a block of at least one row, of the values as they are stored, in one part.
    fn batch_norm_moments(
        &self,
        rows: Rows,
        x: &Self::Buffer,
        moments: &mut Self::Buffer,
    ) -> Result<()>;

    /// The normalizer of a batch, from the moments of its blocks combined in an order that their
    /// numbers alone decide (Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise
    /// algorithm for computing sample variances"), and the batch's part in the running statistics.
    fn batch_norm_normalizer(
        &self,
        norm: &BatchNorm,
        blocks: &[Parts<'_, Self>],
        parameters: &Self::Buffer,
        running: &mut Self::Buffer,
        normalizer: &mut Self::Buffer,
    ) -> Result<()>;

    /// The normalizer from the running statistics, for inference.
    fn batch_norm_running_normalizer(
        &self,
        norm: &BatchNorm,
        parameters: &Self::Buffer,
        running: &Self::Buffer,
        normalizer: &mut Self::Buffer,
    ) -> Result<()>;

    /// `y = f(scale x + shift)` for a block of rows.
    fn batch_norm_apply(
        &self,
        activation: Option<Activation>,
        rows: Rows,
        x: &Self::Buffer,
        normalizer: &Self::Buffer,
        y: &mut Self::Buffer,
    ) -> Result<()>;

    /// The sums of a block of rows, in one part.
    fn batch_norm_backward_sums(
        &self,
        rows: Rows,
        upstream: &Upstream<'_, Self>,
        normalizer: &Self::Buffer,
        sums: &mut Self::Buffer,
    ) -> Result<()>;

    /// The gradients of the parameters, `dgamma = S2 r` and `dbeta = S1`, and the coefficients of
    /// the input's, `B = -scale r^2 S2 / rows` and `C = -scale S1 / rows - B mean`, from the sums
    /// of the blocks, added up in an order as above; `r` is `1 / sqrt(variance + epsilon)` and `rows` those of
    /// the batch.
    fn batch_norm_coefficients(
        &self,
        rows: Rows,
        sums: &[Parts<'_, Self>],
        normalizer: &Self::Buffer,
        gradients: &mut Self::Buffer,
        coefficients: &mut Self::Buffer,
    ) -> Result<()>;

    /// `dx = scale g + B x + C` for a block of rows.
    fn batch_norm_backward_apply(
        &self,
        rows: Rows,
        upstream: &Upstream<'_, Self>,
        coefficients: &Self::Buffer,
        dx: &mut Self::Buffer,
    ) -> Result<()>;
}

/// Normalises in training: `x` is `[.., c]`; `parameters` are gamma and beta, `[2, c]` and f32;
/// `running`, the running mean and variance, `[2, c]` and f32, takes the batch's part in. Returns
/// `y`, of the shape and dtype of `x`, and the normalizer that [`batch_norm_backward`] takes.
///
/// Start `parameters` with ones and zeros, `running` with zeros and ones.
///
/// # Errors
/// [`Error::Shape`] if `x` has no rows; [`Error::ShapeMismatch`] unless the others have its
/// channels; [`Error::Parameter`] if a constant of `norm` is out of its range.
pub fn batch_norm<B: BatchNormBackend>(
    norm: &BatchNorm,
    x: &Tensor<B>,
    parameters: &Tensor<B>,
    running: &mut Tensor<B>,
) -> Result<(Tensor<B>, Tensor<B>)> {
    const OP: &str = "batch_norm";
    let rows = batch(OP, norm, x)?;
    per_channel(OP, parameters, 2, rows)?;
    per_channel(OP, running, 2, rows)?;
    let on = x.backend();
    let mut moments = on.zeros(DType::F32, 3 * rows.channels)?;
    on.batch_norm_moments(rows, x.buffer(), &mut moments)?;
    let blocks = [Parts { count: 1, buffer: &moments }];
    let mut normalizer = Tensor::zeros(on, DType::F32, [4, rows.channels])?;
    let (running, into) = (running.buffer_mut()?, normalizer.buffer_mut()?);
    on.batch_norm_normalizer(norm, &blocks, parameters.buffer(), running, into)?;
    let y = apply(norm, rows, x, &normalizer)?;
    Ok((y, normalizer))
}

/// Normalises in inference, by the running statistics; shapes as for [`batch_norm`].
///
/// # Errors
/// Those of [`batch_norm`].
pub fn batch_norm_inference<B: BatchNormBackend>(
    norm: &BatchNorm,
    x: &Tensor<B>,
    parameters: &Tensor<B>,
    running: &Tensor<B>,
) -> Result<Tensor<B>> {
    const OP: &str = "batch_norm_inference";
    let rows = rows(OP, norm, x)?;
    per_channel(OP, parameters, 2, rows)?;
    per_channel(OP, running, 2, rows)?;
    let mut normalizer = Tensor::zeros(x.backend(), DType::F32, [4, rows.channels])?;
    x.backend().batch_norm_running_normalizer(
        norm,
        parameters.buffer(),
        running.buffer(),
        normalizer.buffer_mut()?,
    )?;
    apply(norm, rows, x, &normalizer)
}

/// The gradients of [`batch_norm`]: that of `x`, of its shape and dtype, and that of the
/// parameters, `[2, c]` and f32. `dy` is the gradient of `y`, before the activation's part in it.
///
/// # Errors
/// [`Error::ShapeMismatch`] or [`Error::DType`] unless `dy` is like `x` and the normalizer is one
/// of its channels.
pub fn batch_norm_backward<B: BatchNormBackend>(
    norm: &BatchNorm,
    x: &Tensor<B>,
    dy: &Tensor<B>,
    normalizer: &Tensor<B>,
) -> Result<(Tensor<B>, Tensor<B>)> {
    const OP: &str = "batch_norm_backward";
    let rows = batch(OP, norm, x)?;
    check::same(OP, x, dy)?;
    per_channel(OP, normalizer, 4, rows)?;
    let on = x.backend();
    let upstream = Upstream { activation: norm.activation, x: x.buffer(), dy: dy.buffer() };
    let mut sums = on.zeros(DType::F32, 2 * rows.channels)?;
    on.batch_norm_backward_sums(rows, &upstream, normalizer.buffer(), &mut sums)?;
    let mut gradients = Tensor::zeros(on, DType::F32, [2, rows.channels])?;
    let mut coefficients = on.zeros(DType::F32, 4 * rows.channels)?;
    let into = gradients.buffer_mut()?;
    let sums = [Parts { count: 1, buffer: &sums }];
    on.batch_norm_coefficients(rows, &sums, normalizer.buffer(), into, &mut coefficients)?;
    let mut dx = Tensor::zeros(on, x.dtype(), x.shape())?;
    on.batch_norm_backward_apply(rows, &upstream, &coefficients, dx.buffer_mut()?)?;
    Ok((dx, gradients))
}

impl BatchNorm {
    /// PyTorch's constants, `epsilon` 1e-5 and `momentum` 0.9 (which PyTorch calls 0.1), and no
    /// activation. Keras has 1e-3 and 0.99, which a short training leaves far from its batches.
    pub fn new(channels: usize) -> Self {
        BatchNorm { channels, epsilon: 1e-5, momentum: 0.9, activation: None }
    }

    /// Checks the constants, for the operation named `op`.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the field.
    pub fn check(&self, op: &'static str) -> Result<()> {
        let refuse = |name, value: f32, rule| {
            Err(Error::Parameter { op, name, value: value.to_string(), rule })
        };
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            return refuse("epsilon", self.epsilon, "positive and finite");
        }
        if !(0.0..=1.0).contains(&self.momentum) {
            return refuse("momentum", self.momentum, "from 0 to 1");
        }
        Ok(())
    }
}

fn apply<B: BatchNormBackend>(
    norm: &BatchNorm,
    rows: Rows,
    x: &Tensor<B>,
    normalizer: &Tensor<B>,
) -> Result<Tensor<B>> {
    let mut y = Tensor::zeros(x.backend(), x.dtype(), x.shape())?;
    let (from, into) = (normalizer.buffer(), y.buffer_mut()?);
    x.backend().batch_norm_apply(norm.activation, rows, x.buffer(), from, into)?;
    Ok(y)
}

fn batch<B: Memory>(op: &'static str, norm: &BatchNorm, x: &Tensor<B>) -> Result<Rows> {
    let rows = rows(op, norm, x)?;
    if rows.count == 0 {
        return Err(Error::Shape {
            op,
            shape: x.shape(),
            rule: "statistics need at least one row",
        });
    }
    Ok(rows)
}

fn rows<B: Memory>(op: &'static str, norm: &BatchNorm, x: &Tensor<B>) -> Result<Rows> {
    norm.check(op)?;
    let rows = Rows::of(op, x)?;
    if rows.channels != norm.channels {
        let rule = "the last dimension is the channels of the normalisation";
        return Err(Error::Shape { op, shape: x.shape(), rule });
    }
    Ok(rows)
}

fn per_channel<B: Memory>(
    op: &'static str,
    tensor: &Tensor<B>,
    values: usize,
    rows: Rows,
) -> Result<()> {
    check::dtype(op, tensor, DType::F32, "f32 parameters and statistics")?;
    let rule = "[2, c] parameters and running statistics, [4, c] normalizers";
    check::shape(op, tensor.shape(), [values, rows.channels].into(), rule)
}
