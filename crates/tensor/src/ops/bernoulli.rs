use super::{PolicyWeights, RowDraw, Rows, check};
use crate::{DType, Error, Memory, Result, Shape, Tensor};

/// Rows of independent bits on a device, in f32: bit `c` of row `r` is 1 with the probability
/// `p[r, c] = sigmoid(logits[r, c])`. At a logit of plus or minus infinity the bit is certain, adds
/// nothing to the entropy and has no gradient by it. A row may have no bits; its sums are 0.
pub trait BernoulliBackend: Memory {
    /// Draws `bits[r, c]`, u32: 1 where the bit's uniform number is below `p[r, c]`, else 0, which
    /// NaN gives too. The number is word `c % 4` of the counter
    /// `[draw.first + r, draw.step, c / 4, 1]`, so that neither the rows beside a bit nor the bits
    /// after it matter, and no word is one of a categorical draw.
    fn bernoulli_sample(
        &self,
        rows: Rows,
        logits: &Self::Buffer,
        draw: RowDraw,
        bits: &mut Self::Buffer,
    ) -> Result<()>;

    /// `log_probability[r] = sum_c log P(bits[r, c])` and
    /// `entropy[r] = sum_c -p log p - (1 - p) log (1 - p)` with `p = p[r, c]`, in nats, without
    /// cancellation however far a logit is from 0.
    fn bernoulli_score(
        &self,
        rows: Rows,
        logits: &Self::Buffer,
        bits: &Self::Buffer,
        log_probability: &mut Self::Buffer,
        entropy: &mut Self::Buffer,
    ) -> Result<()>;

    /// The gradient by the logits of `sum_r (w[r] log_probability[r] + v[r] entropy[r])`:
    /// `dlogits[r, c] = w[r] (bits[r, c] - p[r, c]) - v[r] logits[r, c] p[r, c] (1 - p[r, c])`.
    fn bernoulli_backward(
        &self,
        rows: Rows,
        logits: &Self::Buffer,
        bits: &Self::Buffer,
        weights: PolicyWeights<'_, Self::Buffer>,
        dlogits: &mut Self::Buffer,
    ) -> Result<()>;
}

/// Draws bits that are 1 with the probabilities `sigmoid(logits)`: the logits are f32
/// `[.., channels]`, the bits u32 of the same shape. [`BernoulliBackend::bernoulli_sample`] says
/// which random word decides a bit.
///
/// # Errors
/// [`Error::Shape`] for a scalar; [`Error::DType`] unless the logits are f32.
pub fn bernoulli_sample<B: BernoulliBackend>(
    logits: &Tensor<B>,
    draw: RowDraw,
) -> Result<Tensor<B>> {
    let (rows, _) = rows_of_bits("bernoulli_sample", logits)?;
    let mut bits = Tensor::zeros(logits.backend(), DType::U32, logits.shape())?;
    logits.backend().bernoulli_sample(rows, logits.buffer(), draw, bits.buffer_mut()?)?;
    Ok(bits)
}

/// The log-probability of the bits of each row and the entropy of each row, both `[..]` and in
/// nats: the logits are f32 `[.., channels]`, the bits u32 of the same shape.
///
/// # Errors
/// Those of [`bernoulli_sample`]; [`Error::ShapeMismatch`] unless there is a bit for each logit;
/// [`Error::Index`] for one that is neither 0 nor 1.
pub fn bernoulli_score<B: BernoulliBackend>(
    logits: &Tensor<B>,
    bits: &Tensor<B>,
) -> Result<(Tensor<B>, Tensor<B>)> {
    const OP: &str = "bernoulli_score";
    let (rows, outer) = rows_of_bits(OP, logits)?;
    check_bits(OP, bits, logits)?;
    let on = logits.backend();
    let mut log_probability = Tensor::zeros(on, DType::F32, outer)?;
    let mut entropy = Tensor::zeros(on, DType::F32, outer)?;
    let (p, h) = (log_probability.buffer_mut()?, entropy.buffer_mut()?);
    on.bernoulli_score(rows, logits.buffer(), bits.buffer(), p, h)?;
    Ok((log_probability, entropy))
}

/// The gradient by the logits of the weighted sum of log-probabilities and entropies, see
/// [`BernoulliBackend::bernoulli_backward`]. The weights are f32 `[..]`, the rest is as for
/// [`bernoulli_score`].
///
/// # Errors
/// Those of [`bernoulli_score`], and of the weights likewise.
pub fn bernoulli_backward<B: BernoulliBackend>(
    logits: &Tensor<B>,
    bits: &Tensor<B>,
    weights: PolicyWeights<'_, Tensor<B>>,
) -> Result<Tensor<B>> {
    const OP: &str = "bernoulli_backward";
    let (rows, outer) = rows_of_bits(OP, logits)?;
    check_bits(OP, bits, logits)?;
    let weights = weights.of_rows(OP, outer)?;
    let mut dlogits = Tensor::zeros(logits.backend(), DType::F32, logits.shape())?;
    let into = dlogits.buffer_mut()?;
    logits.backend().bernoulli_backward(rows, logits.buffer(), bits.buffer(), weights, into)?;
    Ok(dlogits)
}

/// The rows of logits, which may be empty, and the shape of what there is once a row.
fn rows_of_bits<B: Memory>(op: &'static str, logits: &Tensor<B>) -> Result<(Rows, Shape)> {
    check::dtype(op, logits, DType::F32, "f32")?;
    let shape = logits.shape();
    match shape.dims().split_last() {
        Some((&channels, outer)) => {
            Ok((Rows { count: outer.iter().product(), channels }, Shape::new(outer)))
        }
        None => Err(Error::Shape { op, shape, rule: "the last dimension is that of a row's bits" }),
    }
}

fn check_bits<B: Memory>(op: &'static str, bits: &Tensor<B>, logits: &Tensor<B>) -> Result<()> {
    check::shape(op, bits.shape(), logits.shape(), "one bit for each logit")?;
    check::indices(op, "bit", bits, 2)
}
