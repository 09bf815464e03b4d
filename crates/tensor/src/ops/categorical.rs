use super::Rows;
use crate::random::Key;
use crate::{Memory, Result};

/// Where the random words of a draw lie: row `r` uses the first word of the counter
/// `[first + r, step, 0, 0]`.
#[derive(Clone, Copy, Debug)]
pub struct RowDraw {
    /// The stream.
    pub key: Key,
    /// Word 0 of the first row's counter.
    pub first: u32,
    /// Word 1 of the counters.
    pub step: u32,
}

/// The weights of a policy gradient.
#[derive(Debug)]
pub struct PolicyWeights<'a, T> {
    /// `w[r]`, of the log-probabilities.
    pub log_probability: &'a T,
    /// `v[r]`, of the entropies.
    pub entropy: &'a T,
}

/// Categorical distributions given by rows of logits, on a device, in f32.
pub trait CategoricalBackend: Memory {
    /// `index[r]` drawn from `softmax(logits[r, :])`.
    fn categorical_sample(
        &self,
        rows: Rows,
        logits: &Self::Buffer,
        draw: RowDraw,
        index: &mut Self::Buffer,
    ) -> Result<()>;

    /// `log p[r, index[r]]` and the entropy of each row, in nats.
    fn categorical_score(
        &self,
        rows: Rows,
        logits: &Self::Buffer,
        index: &Self::Buffer,
        log_probability: &mut Self::Buffer,
        entropy: &mut Self::Buffer,
    ) -> Result<()>;

    /// The gradient by the logits of `sum_r (w[r] log p[r, index[r]] + v[r] H[r])`:
    /// `w (1[index] - p) - v p (log p + H)`.
    fn categorical_backward(
        &self,
        rows: Rows,
        logits: &Self::Buffer,
        index: &Self::Buffer,
        weights: PolicyWeights<'_, Self::Buffer>,
        dlogits: &mut Self::Buffer,
    ) -> Result<()>;
}
