use super::{Rows, check};
use crate::random::Key;
use crate::{DType, Memory, Result, Shape, Tensor};

/// Where the random words of a draw lie: the counters of row `r` begin with `first + r` and `step`,
/// so that a draw does not depend on the rows beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowDraw {
    /// The stream.
    pub key: Key,
    /// Word 0 of the first row's counter.
    pub first: u32,
    /// Word 1 of the counters.
    pub step: u32,
}

/// The weights of a policy gradient, in buffers or tensors.
#[derive(Debug)]
pub struct PolicyWeights<'a, T> {
    /// `w[r]`, of the log-probabilities.
    pub log_probability: &'a T,
    /// `v[r]`, of the entropies.
    pub entropy: &'a T,
}

/// Categorical distributions on a device, in f32: row `r` of logits has the probabilities
/// `p[r, j] = softmax(logits[r, :])[j]`. A logit of minus infinity makes a value impossible: it is
/// never drawn, adds nothing to the entropy and has no gradient, but a row needs a finite one.
pub trait CategoricalBackend: Memory {
    /// Draws `index[r]`: the first value whose cumulative probability is above the row's uniform
    /// number, the first word of the counter `[draw.first + r, draw.step, 0, 0]`. A row with a NaN
    /// gives its last value.
    fn categorical_sample(
        &self,
        rows: Rows,
        logits: &Self::Buffer,
        draw: RowDraw,
        index: &mut Self::Buffer,
    ) -> Result<()>;

    /// `log p[r, index[r]]` and the entropy `H[r] = -sum_j p[r, j] log p[r, j]`, in nats.
    fn categorical_score(
        &self,
        rows: Rows,
        logits: &Self::Buffer,
        index: &Self::Buffer,
        log_probability: &mut Self::Buffer,
        entropy: &mut Self::Buffer,
    ) -> Result<()>;

    /// The gradient by the logits of `sum_r (w[r] log p[r, index[r]] + v[r] H[r])`:
    /// `dlogits[r, j] = w[r] ((j == index[r]) - p[r, j]) - v[r] p[r, j] (log p[r, j] + H[r])`.
    fn categorical_backward(
        &self,
        rows: Rows,
        logits: &Self::Buffer,
        index: &Self::Buffer,
        weights: PolicyWeights<'_, Self::Buffer>,
        dlogits: &mut Self::Buffer,
    ) -> Result<()>;
}

/// Draws a value of each row from `softmax(logits)`: the logits are f32 `[.., values]`, the result
/// is u32 `[..]`. Nothing but the row and its place decides what is drawn, see [`RowDraw`].
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) unless a row has a value;
/// [`Error::DType`](crate::Error::DType) unless the logits are f32.
pub fn categorical_sample<B: CategoricalBackend>(
    logits: &Tensor<B>,
    draw: RowDraw,
) -> Result<Tensor<B>> {
    let (rows, outer) = distributions("categorical_sample", logits)?;
    let mut index = Tensor::zeros(logits.backend(), DType::U32, outer)?;
    logits.backend().categorical_sample(rows, logits.buffer(), draw, index.buffer_mut()?)?;
    Ok(index)
}

/// The log-probability of the value `index` of each row and the entropy of each row, both `[..]`
/// and in nats: the logits are f32 `[.., values]`, the indices u32 `[..]`.
///
/// # Errors
/// Those of [`categorical_sample`]; [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) unless
/// there is an index for each row; [`Error::Index`](crate::Error::Index) for one that is no value.
pub fn categorical_score<B: CategoricalBackend>(
    logits: &Tensor<B>,
    index: &Tensor<B>,
) -> Result<(Tensor<B>, Tensor<B>)> {
    const OP: &str = "categorical_score";
    let (rows, outer) = distributions(OP, logits)?;
    check_index(OP, index, rows, outer)?;
    let on = logits.backend();
    let mut log_probability = Tensor::zeros(on, DType::F32, outer)?;
    let mut entropy = Tensor::zeros(on, DType::F32, outer)?;
    let (p, h) = (log_probability.buffer_mut()?, entropy.buffer_mut()?);
    on.categorical_score(rows, logits.buffer(), index.buffer(), p, h)?;
    Ok((log_probability, entropy))
}

/// The gradient by the logits of the weighted sum of log-probabilities and entropies, see
/// [`CategoricalBackend::categorical_backward`]: the policy gradient, where the weights are
/// advantages and the price of certainty. The weights are f32 `[..]`, the rest is as for
/// [`categorical_score`].
///
/// # Errors
/// Those of [`categorical_score`], and of the weights likewise.
pub fn categorical_backward<B: CategoricalBackend>(
    logits: &Tensor<B>,
    index: &Tensor<B>,
    weights: PolicyWeights<'_, Tensor<B>>,
) -> Result<Tensor<B>> {
    const OP: &str = "categorical_backward";
    let (rows, outer) = distributions(OP, logits)?;
    check_index(OP, index, rows, outer)?;
    let weights = weights.of_rows(OP, outer)?;
    let mut dlogits = Tensor::zeros(logits.backend(), DType::F32, logits.shape())?;
    let into = dlogits.buffer_mut()?;
    logits.backend().categorical_backward(rows, logits.buffer(), index.buffer(), weights, into)?;
    Ok(dlogits)
}

impl<'a, B: Memory> PolicyWeights<'a, Tensor<B>> {
    /// The buffers of weights of which there is one for each row; `outer` is the rows' shape.
    pub(super) fn of_rows(
        self,
        op: &'static str,
        outer: Shape,
    ) -> Result<PolicyWeights<'a, B::Buffer>> {
        let PolicyWeights { log_probability, entropy } = self;
        for weights in [log_probability, entropy] {
            check::dtype(op, weights, DType::F32, "f32")?;
            check::shape(op, weights.shape(), outer, "one weight for each row")?;
        }
        Ok(PolicyWeights { log_probability: log_probability.buffer(), entropy: entropy.buffer() })
    }
}

/// The rows of logits, and the shape of what there is once a row.
fn distributions<B: Memory>(op: &'static str, logits: &Tensor<B>) -> Result<(Rows, Shape)> {
    check::dtype(op, logits, DType::F32, "f32")?;
    let rows = Rows::of(op, logits)?;
    let shape = logits.shape();
    Ok((rows, Shape::new(&shape[..shape.len() - 1])))
}

fn check_index<B: Memory>(
    op: &'static str,
    index: &Tensor<B>,
    rows: Rows,
    outer: Shape,
) -> Result<()> {
    check::shape(op, index.shape(), outer, "one index for each row")?;
    check::indices(op, "index", index, rows.channels)
}
