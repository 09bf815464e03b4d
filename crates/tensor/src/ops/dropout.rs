use super::check;
use crate::random::Key;
use crate::{Error, Memory, Result, Tensor};

/// Which elements dropout drops, and how often.
///
/// Element `i` is dropped if its random word is below `rate * 2^32`. The word is number
/// `(offset + i) % 4` of Philox under `key` at the counter of the 64-bit numbers
/// `(offset + i) / 4` and `step`, low words first. So the mask depends on the element's place
/// alone: on any device and any number of threads, and for a block of a batch whose `offset` is
/// that of its first element in the batch.
///
/// Srivastava et al. 2014, JMLR 15; the division by `1 - rate` is in training, so that inference
/// has nothing to do.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// The probability that an element is dropped, at least 0 and below 1.
    pub rate: f32,
    /// The key of this layer's masks.
    pub key: Key,
    /// The training step: each has its mask.
    pub step: u64,
    /// The index of the first element.
    pub offset: u64,
}

/// Dropout on a device.
pub trait DropoutBackend: Memory {
    /// `y[i] = x[i] / (1 - rate)`, or 0 if it is dropped, for `i < len`; both of one float dtype.
    /// The step of a `clock`, u32 `[step, row]`, is added to that of `dropout`.
    fn dropout(
        &self,
        dropout: &Dropout,
        clock: Option<&Self::Buffer>,
        len: usize,
        x: &Self::Buffer,
        y: &mut Self::Buffer,
    ) -> Result<()>;
}

/// Drops elements of `x` and divides the others by `1 - rate`. Its gradient is the same function
/// of `dy`, with the same mask.
///
/// # Errors
/// [`Error::Parameter`] unless the rate is at least 0 and below 1.
pub fn dropout<B: DropoutBackend>(x: &Tensor<B>, dropout: &Dropout) -> Result<Tensor<B>> {
    const OP: &str = "dropout";
    check::float(OP, x)?;
    dropout.check(OP)?;
    let mut y = Tensor::zeros(x.backend(), x.dtype(), x.shape())?;
    x.backend().dropout(dropout, None, x.shape().count(), x.buffer(), y.buffer_mut()?)?;
    Ok(y)
}

impl Dropout {
    /// Random words below this drop their element.
    pub(crate) fn threshold(&self) -> u32 {
        (f64::from(self.rate) * f64::powi(2.0, 32)) as u32
    }

    /// What elements that are kept are multiplied by.
    pub(crate) fn scale(&self) -> f32 {
        1.0 / (1.0 - self.rate)
    }

    /// Checks the rate, for the operation named `op`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is out of its range.
    pub fn check(&self, op: &'static str) -> Result<()> {
        if (0.0..1.0).contains(&self.rate) {
            return Ok(());
        }
        let (name, value) = ("rate", self.rate.to_string());
        Err(Error::Parameter { op, name, value, rule: "at least 0 and below 1" })
    }
}
