use super::check;
use crate::{DType, Error, Memory, Result, Tensor};

/// The geometry of additive attention (Bahdanau et al. 2015, arXiv 1409.0473, appendix A.1.2; the
/// anchor points of arXiv 1611.01578, section 3.3): each row's query is compared with keys of its
/// own.
///
/// Keys and values that come one after the other have their place in a buffer for all of them, of
/// which an operation reads the first `sources`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attention {
    /// Rows side by side.
    pub batch: usize,
    /// Keys or values of a row that are there, at most `capacity`; there may be none.
    pub sources: usize,
    /// Keys or values of a row that there is room for.
    pub capacity: usize,
    /// Elements of a key, a query or a value.
    pub units: usize,
}

/// What scores are made of, in buffers or tensors.
#[derive(Debug)]
pub struct AttentionInputs<'a, T> {
    /// `[batch, capacity, units]`.
    pub keys: &'a T,
    /// `[batch, units]`.
    pub query: &'a T,
    /// `[units]`.
    pub v: &'a T,
}

/// Where the gradients of [`AttentionInputs`] go.
#[derive(Debug)]
pub struct AttentionGradients<'a, T> {
    /// `[batch, capacity, units]`, added to.
    pub dkeys: &'a mut T,
    /// `[batch, units]`, overwritten.
    pub dquery: &'a mut T,
    /// `[units]`, added to.
    pub dv: &'a mut T,
}

/// Additive attention on a device, in f32. A hyperbolic tangent is off by less than 2e-7, the error
/// of a fast exponential.
pub trait AttentionBackend: Memory {
    /// `scores[b, j] = sum_u v[u] tanh(keys[b, j, u] + query[b, u])`, `[batch, sources]`.
    fn attention_scores(
        &self,
        geometry: &Attention,
        inputs: AttentionInputs<'_, Self::Buffer>,
        scores: &mut Self::Buffer,
    ) -> Result<()>;

    /// The gradients of the scores, from `dscores` `[batch, sources]`. With
    /// `t = tanh(keys[b, j, u] + query[b, u])`, which is computed anew, and
    /// `g[b, j, u] = dscores[b, j] v[u] (1 - t^2)`:
    /// `dkeys[b, j, u] += g[b, j, u]`, `dquery[b, u] = sum_j g[b, j, u]` and
    /// `dv[u] += sum_(b, j) dscores[b, j] t`, the sums in the order of `b` and then `j`.
    fn attention_scores_backward(
        &self,
        geometry: &Attention,
        inputs: AttentionInputs<'_, Self::Buffer>,
        dscores: &Self::Buffer,
        gradients: AttentionGradients<'_, Self::Buffer>,
    ) -> Result<()>;

    /// `context[b, u] = sum_j weights[b, j] values[b, j, u]`, `[batch, units]`, in the order of `j`:
    /// the weights are `[batch, sources]`, the values `[batch, capacity, units]`.
    fn attention_context(
        &self,
        geometry: &Attention,
        weights: &Self::Buffer,
        values: &Self::Buffer,
        context: &mut Self::Buffer,
    ) -> Result<()>;

    /// `dvalues[b, j, u] += weights[b, j] dcontext[b, u]`. The weights have no gradient: they are
    /// given, as the choices of a policy are.
    fn attention_context_backward(
        &self,
        geometry: &Attention,
        weights: &Self::Buffer,
        dcontext: &Self::Buffer,
        dvalues: &mut Self::Buffer,
    ) -> Result<()>;
}

/// The scores of each row's first `sources` keys, `[batch, sources]`; see [`Attention`] and
/// [`AttentionBackend::attention_scores`].
///
/// # Errors
/// [`Error::Shape`] unless the keys are `[batch, capacity, units]` with at least one unit;
/// [`Error::Parameter`] for more sources than keys; [`Error::ShapeMismatch`] unless the others have
/// the shapes that [`AttentionInputs`] says; [`Error::DType`] unless all are f32.
pub fn attention_scores<B: AttentionBackend>(
    inputs: AttentionInputs<'_, Tensor<B>>,
    sources: usize,
) -> Result<Tensor<B>> {
    const OP: &str = "attention_scores";
    let geometry = Attention::of(OP, inputs.keys, sources)?;
    geometry.check_inputs(OP, &inputs)?;
    let on = inputs.keys.backend();
    let mut scores = Tensor::zeros(on, DType::F32, [geometry.batch, sources])?;
    on.attention_scores(&geometry, inputs.buffers(), scores.buffer_mut()?)?;
    Ok(scores)
}

/// The gradients of [`attention_scores`] by the keys, the query and `v`, from `dscores`
/// `[batch, sources]`. That of a key past the sources is 0.
///
/// # Errors
/// Those of [`attention_scores`], and [`Error::Shape`] unless `dscores` is a matrix.
pub fn attention_scores_backward<B: AttentionBackend>(
    inputs: AttentionInputs<'_, Tensor<B>>,
    dscores: &Tensor<B>,
) -> Result<(Tensor<B>, Tensor<B>, Tensor<B>)> {
    const OP: &str = "attention_scores_backward";
    let geometry = Attention::of(OP, inputs.keys, columns(OP, dscores)?)?;
    geometry.check_inputs(OP, &inputs)?;
    geometry.check_weights(OP, dscores)?;
    let on = inputs.keys.backend();
    let like = |tensor: &Tensor<B>| Tensor::zeros(on, DType::F32, tensor.shape());
    let (mut dkeys, mut dquery, mut dv) =
        (like(inputs.keys)?, like(inputs.query)?, like(inputs.v)?);
    let gradients = AttentionGradients {
        dkeys: dkeys.buffer_mut()?,
        dquery: dquery.buffer_mut()?,
        dv: dv.buffer_mut()?,
    };
    on.attention_scores_backward(&geometry, inputs.buffers(), dscores.buffer(), gradients)?;
    Ok((dkeys, dquery, dv))
}

/// The weighted sum of each row's first values, `[batch, units]`: the weights are f32
/// `[batch, sources]`, the values f32 `[batch, capacity, units]`.
///
/// # Errors
/// [`Error::Shape`] unless the weights are a matrix and the values `[batch, capacity, units]` with
/// at least one unit; [`Error::Parameter`] for more weights than values; [`Error::ShapeMismatch`]
/// unless both have as many rows; [`Error::DType`] unless both are f32.
pub fn attention_context<B: AttentionBackend>(
    weights: &Tensor<B>,
    values: &Tensor<B>,
) -> Result<Tensor<B>> {
    const OP: &str = "attention_context";
    let geometry = Attention::of(OP, values, columns(OP, weights)?)?;
    geometry.check_weights(OP, weights)?;
    let on = values.backend();
    let mut context = Tensor::zeros(on, DType::F32, [geometry.batch, geometry.units])?;
    let into = context.buffer_mut()?;
    on.attention_context(&geometry, weights.buffer(), values.buffer(), into)?;
    Ok(context)
}

/// The gradient of [`attention_context`] by the values, `[batch, capacity, units]`, from `dcontext`
/// `[batch, units]`. That of a value past the weights is 0.
///
/// # Errors
/// As [`attention_context`], for the gradients.
pub fn attention_context_backward<B: AttentionBackend>(
    weights: &Tensor<B>,
    dcontext: &Tensor<B>,
    capacity: usize,
) -> Result<Tensor<B>> {
    const OP: &str = "attention_context_backward";
    check::rank(OP, dcontext, 2, "the gradient of a context is [batch, units]")?;
    let [batch, units] = [0, 1].map(|dimension| dcontext.shape()[dimension]);
    let on = dcontext.backend();
    let mut dvalues = Tensor::zeros(on, DType::F32, [batch, capacity, units])?;
    let geometry = Attention::of(OP, &dvalues, columns(OP, weights)?)?;
    geometry.check_weights(OP, weights)?;
    geometry.check_rows(OP, dcontext)?;
    let into = dvalues.buffer_mut()?;
    on.attention_context_backward(&geometry, weights.buffer(), dcontext.buffer(), into)?;
    Ok(dvalues)
}

impl Attention {
    /// The geometry of the first `sources` of these keys or values.
    fn of<B: Memory>(op: &'static str, keys: &Tensor<B>, sources: usize) -> Result<Self> {
        check::dtype(op, keys, DType::F32, "f32")?;
        match *keys.shape().dims() {
            [batch, capacity, units] if units > 0 => match sources <= capacity {
                true => Ok(Attention { batch, sources, capacity, units }),
                false => {
                    let (name, value) = ("sources", format!("{sources} of {capacity}"));
                    Err(Error::Parameter { op, name, value, rule: "at most as many as there are" })
                }
            },
            _ => {
                let rule = "keys and values are [batch, capacity, units] with at least one unit";
                Err(Error::Shape { op, shape: keys.shape(), rule })
            }
        }
    }

    fn check_inputs<B: Memory>(
        &self,
        op: &'static str,
        inputs: &AttentionInputs<'_, Tensor<B>>,
    ) -> Result<()> {
        self.check_rows(op, inputs.query)?;
        check::dtype(op, inputs.v, DType::F32, "f32")?;
        check::shape(op, inputs.v.shape(), [self.units].into(), "v is [units]")
    }

    fn check_rows<B: Memory>(&self, op: &'static str, rows: &Tensor<B>) -> Result<()> {
        check::dtype(op, rows, DType::F32, "f32")?;
        let rule = "a query or context is [batch, units]";
        check::shape(op, rows.shape(), [self.batch, self.units].into(), rule)
    }

    fn check_weights<B: Memory>(&self, op: &'static str, weights: &Tensor<B>) -> Result<()> {
        check::dtype(op, weights, DType::F32, "f32")?;
        let rule = "scores and weights are [batch, sources]";
        check::shape(op, weights.shape(), [self.batch, self.sources].into(), rule)
    }
}

impl<B: Memory> AttentionInputs<'_, Tensor<B>> {
    fn buffers(&self) -> AttentionInputs<'_, B::Buffer> {
        let AttentionInputs { keys, query, v } = self;
        AttentionInputs { keys: keys.buffer(), query: query.buffer(), v: v.buffer() }
    }
}

/// The columns of a matrix of scores or weights.
fn columns<B: Memory>(op: &'static str, weights: &Tensor<B>) -> Result<usize> {
    check::rank(op, weights, 2, "scores and weights are [batch, sources]")?;
    Ok(weights.shape()[1])
}
