use super::{Rows, Sum, check};
use crate::{DType, Error, Memory, Result, Tensor};

/// A batch, or a block of one, whose predictions are judged.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy {
    /// A row of logits for each example, a channel for each class.
    pub rows: Rows,
    /// What losses and gradients are divided by: the size of the whole batch, so that the blocks'
    /// losses and gradients add up to those of the mean.
    pub divisor: f32,
    /// Whether the loss and the count are added to what `sums` holds.
    pub sum: Sum,
}

/// What a batch is judged by.
#[derive(Debug)]
pub struct CrossEntropyInputs<'a, T> {
    /// f32, a row for each example.
    pub logits: &'a T,
    /// u32, below the number of classes.
    pub labels: &'a T,
    /// u32 `[step, row]`, whose row says which two sums of a table are meant.
    pub clock: Option<&'a T>,
}

/// Cross-entropy on a device.
///
/// `sums` holds two f32, or two for each row of a clock, of which those of the clock's row are
/// meant: the loss `sum_i -ln softmax(x[i])[label[i]] / divisor`, and how many rows
/// `i` have their largest logit at `label[i]`; among equal logits the first is the largest. Both
/// are added up in the order of the rows.
pub trait CrossEntropyBackend: Memory {
    /// The loss and the number of correct predictions.
    fn cross_entropy(
        &self,
        geometry: &CrossEntropy,
        inputs: CrossEntropyInputs<'_, Self::Buffer>,
        sums: &mut Self::Buffer,
    ) -> Result<()>;

    /// The same, and `dx[i][j] = (softmax(x[i])[j] - (j == label[i])) / divisor`, in one pass.
    fn cross_entropy_with_gradient(
        &self,
        geometry: &CrossEntropy,
        inputs: CrossEntropyInputs<'_, Self::Buffer>,
        sums: &mut Self::Buffer,
        dlogits: &mut Self::Buffer,
    ) -> Result<()>;
}

/// The cross-entropy between the softmax of f32 logits `[n, classes]` and u32 labels `[n]`, summed
/// over the rows and divided by `divisor`, which is `n` for the mean, and the number of rows whose
/// largest logit, the first among equals, is the label's: an f32 tensor `[loss, correct]`.
///
/// # Errors
/// [`Error::DType`], [`Error::Shape`] or [`Error::ShapeMismatch`] for operands of other types or
/// shapes, [`Error::Index`] for a label that is no class, [`Error::Parameter`] unless the divisor
/// is positive and finite.
pub fn cross_entropy<B: CrossEntropyBackend>(
    logits: &Tensor<B>,
    labels: &Tensor<B>,
    divisor: f32,
) -> Result<Tensor<B>> {
    let geometry = CrossEntropy::of("cross_entropy", logits, labels, divisor)?;
    let mut sums = Tensor::zeros(logits.backend(), DType::F32, [2])?;
    let inputs = inputs(logits, labels);
    logits.backend().cross_entropy(&geometry, inputs, sums.buffer_mut()?)?;
    Ok(sums)
}

/// What [`cross_entropy`] computes, and the loss's gradient by the logits,
/// `(softmax(x) - onehot(label)) / divisor`, of the logits' shape.
///
/// # Errors
/// Those of [`cross_entropy`].
pub fn cross_entropy_with_gradient<B: CrossEntropyBackend>(
    logits: &Tensor<B>,
    labels: &Tensor<B>,
    divisor: f32,
) -> Result<(Tensor<B>, Tensor<B>)> {
    let geometry = CrossEntropy::of("cross_entropy_with_gradient", logits, labels, divisor)?;
    let mut sums = Tensor::zeros(logits.backend(), DType::F32, [2])?;
    let mut dlogits = Tensor::zeros(logits.backend(), DType::F32, logits.shape())?;
    logits.backend().cross_entropy_with_gradient(
        &geometry,
        inputs(logits, labels),
        sums.buffer_mut()?,
        dlogits.buffer_mut()?,
    )?;
    Ok((sums, dlogits))
}

fn inputs<'a, B: Memory>(
    logits: &'a Tensor<B>,
    labels: &'a Tensor<B>,
) -> CrossEntropyInputs<'a, B::Buffer> {
    CrossEntropyInputs { logits: logits.buffer(), labels: labels.buffer(), clock: None }
}

impl CrossEntropy {
    fn of<B: Memory>(
        op: &'static str,
        logits: &Tensor<B>,
        labels: &Tensor<B>,
        divisor: f32,
    ) -> Result<Self> {
        check::dtype(op, logits, DType::F32, "f32 logits")?;
        check::rank(op, logits, 2, "logits are [n, classes]")?;
        let rows = Rows::of(op, logits)?;
        let rule = "labels are [n], one for each row of logits";
        check::shape(op, labels.shape(), [rows.count].into(), rule)?;
        check::indices(op, "label", labels, rows.channels)?;
        if !(divisor > 0.0 && divisor.is_finite()) {
            let (name, value) = ("divisor", divisor.to_string());
            return Err(Error::Parameter { op, name, value, rule: "positive and finite" });
        }
        Ok(CrossEntropy { rows, divisor, sum: Sum::Store })
    }
}
