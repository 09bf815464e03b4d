use super::{Buffer, Cpu, with_float};
use crate::ops::{Rows, SoftmaxBackend};
use crate::{Float, Result};

/// How many element-wise operations an exponential weighs, for the share of a thread.
pub(super) const EXPONENTIAL: usize = 4;

impl SoftmaxBackend for Cpu {
    fn softmax(&self, rows: Rows, x: &Buffer, y: &mut Buffer) -> Result<()> {
        with_float!("softmax", x, T => self.each_row::<T>(rows, [x, x], y, |x, _, y| {
            let Peak { max, sum } = Peak::of(x);
            for (y, x) in y.iter_mut().zip(x) {
                *y = T::from_f32((x.to_f32() - max).exp() / sum);
            }
        }));
        Ok(())
    }

    fn softmax_backward(&self, rows: Rows, y: &Buffer, dy: &Buffer, dx: &mut Buffer) -> Result<()> {
        with_float!("softmax_backward", y, T => self.each_row::<T>(rows, [y, dy], dx, |y, dy, dx| {
            let mean: f32 = y.iter().zip(dy).map(|(y, dy)| y.to_f32() * dy.to_f32()).sum();
            for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
                *dx = T::from_f32(y.to_f32() * (dy.to_f32() - mean));
            }
        }));
        Ok(())
    }

    fn log_softmax(&self, rows: Rows, x: &Buffer, y: &mut Buffer) -> Result<()> {
        with_float!("log_softmax", x, T => self.each_row::<T>(rows, [x, x], y, |x, _, y| {
            let Peak { max, sum } = Peak::of(x);
            let log_sum = sum.ln();
            for (y, x) in y.iter_mut().zip(x) {
                *y = T::from_f32(x.to_f32() - max - log_sum);
            }
        }));
        Ok(())
    }

    fn log_softmax_backward(
        &self,
        rows: Rows,
        y: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        with_float!("log_softmax_backward", y, T => {
            self.each_row::<T>(rows, [y, dy], dx, |y, dy, dx| {
                let sum: f32 = dy.iter().map(|dy| dy.to_f32()).sum();
                for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
                    *dx = T::from_f32(dy.to_f32() - y.to_f32().exp() * sum);
                }
            });
        });
        Ok(())
    }
}

impl Cpu {
    /// Runs `body(a_row, b_row, output_row)` for every row.
    fn each_row<T: Float>(
        &self,
        rows: Rows,
        [a, b]: [&Buffer; 2],
        output: &mut Buffer,
        body: impl Fn(&[T], &[T], &mut [T]) + Send + Sync,
    ) {
        let (elements, channels) = (rows.elements(), rows.channels);
        let (a, b) = (&a.slice::<T>()[..elements], &b.slice::<T>()[..elements]);
        let output = &mut output.slice_mut::<T>()[..elements];
        self.weighted_chunks(output, channels, EXPONENTIAL * channels, |first, output| {
            let inputs = a.chunks_exact(channels).zip(b.chunks_exact(channels)).skip(first);
            for (output, (a, b)) in output.chunks_exact_mut(channels).zip(inputs) {
                body(a, b, output);
            }
        });
    }
}

/// What the softmax of a row is made of.
pub(super) struct Peak {
    /// The largest element.
    pub(super) max: f32,
    /// `sum_j exp(x[j] - max)`, at least 1.
    pub(super) sum: f32,
}

impl Peak {
    pub(super) fn of<T: Float>(row: &[T]) -> Self {
        let max = row.iter().fold(f32::NEG_INFINITY, |max, x| max.max(x.to_f32()));
        Peak { max, sum: row.iter().map(|x| (x.to_f32() - max).exp()).sum() }
    }
}
