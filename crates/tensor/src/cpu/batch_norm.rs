use std::marker::PhantomData;
use std::ops::Range;

use super::columns::{self, Elementwise, NO_OUTPUT, Pass, Total};
use super::curve::{Curve, with_curve};
use super::simd::Simd;
use super::{Buffer, Cpu, with_float};
use crate::ops::{Activation, BatchNorm, BatchNormBackend, Parts, Rows, Upstream};
use crate::{Float, Result};

impl BatchNormBackend for Cpu {
    fn batch_norm_moments(&self, rows: Rows, x: &Buffer, moments: &mut Buffer) -> Result<()> {
        let Rows { count, channels } = rows;
        let block = columns::block(channels);
        let all = rows_mut(moments, channels);
        with_float!("batch_norm_moments", x, T => {
            let x = x.slice::<T>();
            let of_block = |block: Range<usize>, moments: &mut [f32]| {
                self.block_moments(channels, &x[block.start * channels..block.end * channels], moments);
            };
            self.each_block(count, block, 3 * channels, of_block, |blocks| {
                let [counts, means, squares] = all;
                counts.fill(count as f32);
                Combined::each(channels, blocks.chunks_exact(3 * channels), |c, combined| {
                    means[c] = combined.mean as f32;
                    squares[c] = combined.squares as f32;
                });
            });
        });
        Ok(())
    }

    fn batch_norm_normalizer(
        &self,
        norm: &BatchNorm,
        blocks: &[Parts<'_, Self>],
        parameters: &Buffer,
        running: &mut Buffer,
        normalizer: &mut Buffer,
    ) -> Result<()> {
        let channels = norm.channels;
        let parts = blocks.iter().flat_map(|block| parts(block, 3 * channels));
        let [running_means, running_variances] = rows_mut(running, channels);
        let mut write = Normalizer::new(norm, parameters, normalizer);
        let average = |running: &mut f32, batch: f64| {
            let momentum = f64::from(norm.momentum);
            *running = (momentum * f64::from(*running) + (1.0 - momentum) * batch) as f32;
        };
        Combined::each(channels, parts, |c, Combined { rows, mean, squares }| {
            let variance = squares / rows;
            average(&mut running_means[c], mean);
            average(&mut running_variances[c], variance);
            write.channel(c, mean, variance);
        });
        Ok(())
    }

    fn batch_norm_running_normalizer(
        &self,
        norm: &BatchNorm,
        parameters: &Buffer,
        running: &Buffer,
        normalizer: &mut Buffer,
    ) -> Result<()> {
        let [means, variances] = rows_of(running, norm.channels);
        let mut write = Normalizer::new(norm, parameters, normalizer);
        for c in 0..norm.channels {
            write.channel(c, f64::from(means[c]), f64::from(variances[c]));
        }
        Ok(())
    }

    fn batch_norm_apply(
        &self,
        activation: Option<Activation>,
        rows: Rows,
        x: &Buffer,
        normalizer: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        let lines = rows_of::<2>(normalizer, rows.channels);
        with_float!("batch_norm_apply", x, T => with_curve!(activation, F => {
            let x = x.slice::<T>();
            self.chunks(&mut y.slice_mut::<T>()[..rows.elements()], rows.channels, |first, y| {
                let inputs = [&x[first * rows.channels..][..y.len()]];
                let (channels, output) = (rows.channels, Some(y));
                Pass { channels, inputs, lines, sums: [], output }.run(self, Affine::<F>::NEW);
            });
        }));
        Ok(())
    }

    fn batch_norm_backward_sums(
        &self,
        rows: Rows,
        upstream: &Upstream<'_, Self>,
        normalizer: &Buffer,
        sums: &mut Buffer,
    ) -> Result<()> {
        let channels = rows.channels;
        let lines = rows_of::<3>(normalizer, channels);
        let sums = &mut sums.slice_mut::<f32>()[..2 * channels];
        sums.fill(0.0);
        with_float!("batch_norm_backward_sums", upstream.x, T => {
            let (x, dy) = (upstream.x.slice::<T>(), upstream.dy.slice::<T>());
            with_curve!(upstream.activation, F => {
                self.sum_blocks(rows.count, columns::block(channels), sums, |block, sums| {
                    let block = block.start * channels..block.end * channels;
                    let inputs = [&x[block.clone()], &dy[block]];
                    let (s1, s2) = sums.split_at_mut(channels);
                    let pass = Pass { channels, inputs, lines, sums: [s1, s2], output: NO_OUTPUT };
                    pass.run(self, GradientSums::<F>::NEW);
                });
            });
        });
        Ok(())
    }

    fn batch_norm_coefficients(
        &self,
        rows: Rows,
        sums: &[Parts<'_, Self>],
        normalizer: &Buffer,
        gradients: &mut Buffer,
        coefficients: &mut Buffer,
    ) -> Result<()> {
        let channels = rows.channels;
        let [scale, shift, mean, inverse] = rows_of(normalizer, channels);
        let [dgamma, dbeta] = rows_mut(gradients, channels);
        let [to_scale, to_shift, of_x, constant] = rows_mut(coefficients, channels);
        to_scale.copy_from_slice(scale);
        to_shift.copy_from_slice(shift);
        for c in 0..channels {
            let [s1, s2] = [0, channels].map(|row| {
                let parts = sums.iter().flat_map(|block| parts(block, 2 * channels));
                parts.map(|sums| f64::from(sums[row + c])).sum::<f64>()
            });
            let (r, scale) = (f64::from(inverse[c]), f64::from(scale[c]));
            dgamma[c] = (s2 * r) as f32;
            dbeta[c] = s1 as f32;
            let b = -scale * r * r * s2 / rows.count as f64;
            of_x[c] = b as f32;
            constant[c] = (-scale * s1 / rows.count as f64 - b * f64::from(mean[c])) as f32;
        }
        Ok(())
    }

    fn batch_norm_backward_apply(
        &self,
        rows: Rows,
        upstream: &Upstream<'_, Self>,
        coefficients: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        let channels = rows.channels;
        let lines = rows_of::<4>(coefficients, channels);
        with_float!("batch_norm_backward_apply", upstream.x, T => {
            let (x, dy) = (upstream.x.slice::<T>(), upstream.dy.slice::<T>());
            with_curve!(upstream.activation, F => {
                self.chunks(&mut dx.slice_mut::<T>()[..rows.elements()], channels, |first, dx| {
                    let run = first * channels..first * channels + dx.len();
                    let inputs = [&x[run.clone()], &dy[run]];
                    let pass = Pass { channels, inputs, lines, sums: [], output: Some(dx) };
                    pass.run(self, InputGradient::<F>::NEW);
                });
            });
        });
        Ok(())
    }
}

impl Cpu {
    /// Mean and sum of squared deviations of each channel, in two passes over a block that stays
    /// in the cache: no difference of large sums. What the first mean is off by, the second pass
    /// finds and takes off both (Chan, Golub and LeVeque 1983, the corrected two-pass algorithm).
    /// `moments` are zeros.
    fn block_moments<T: Float>(&self, channels: usize, x: &[T], moments: &mut [f32]) {
        let rows = (x.len() / channels) as f32;
        let (errors, rest) = moments.split_at_mut(channels);
        let (means, squares) = rest.split_at_mut(channels);
        let pass =
            Pass { channels, inputs: [x], lines: [], sums: [&mut *means], output: NO_OUTPUT };
        pass.run(self, Total);
        means.iter_mut().for_each(|mean| *mean /= rows);
        let (lines, sums) = ([&*means], [&mut *errors, &mut *squares]);
        let pass = Pass { channels, inputs: [x], lines, sums, output: NO_OUTPUT };
        pass.run(self, Deviations);
        for ((mean, squares), error) in means.iter_mut().zip(squares).zip(&*errors) {
            *mean += error / rows;
            *squares -= error * error / rows;
        }
        errors.fill(rows);
    }
}

/// Mean and sum of squared deviations of all rows of a channel seen so far.
#[derive(Clone, Copy, Default)]
struct Combined {
    rows: f64,
    mean: f64,
    squares: f64,
}

/// Channels that are gone through the moments of all blocks for before the next: none waits for the
/// division of another.
const TOGETHER: usize = 16;

impl Combined {
    /// Calls `body` for each channel with what `[3, c]` moments each come to, in their order; those
    /// of no rows have no part in it.
    fn each<'a>(
        channels: usize,
        moments: impl Iterator<Item = &'a [f32]> + Clone,
        mut body: impl FnMut(usize, Combined),
    ) {
        for first in (0..channels).step_by(TOGETHER) {
            let mut all = [Combined::default(); TOGETHER];
            let all = &mut all[..TOGETHER.min(channels - first)];
            for moments in moments.clone() {
                for (c, combined) in (first..).zip(&mut *all) {
                    combined.join([0, 1, 2].map(|row| f64::from(moments[row * channels + c])));
                }
            }
            (first..).zip(all).for_each(|(c, combined)| body(c, *combined));
        }
    }

    fn join(&mut self, [rows, mean, squares]: [f64; 3]) {
        if rows == 0.0 {
            return;
        }
        let together = self.rows + rows;
        let delta = mean - self.mean;
        self.mean += delta * rows / together;
        self.squares += squares + delta * delta * self.rows * rows / together;
        self.rows = together;
    }
}

/// Writes a normalizer, channel by channel.
struct Normalizer<'a> {
    epsilon: f64,
    parameters: [&'a [f32]; 2],
    normalizer: [&'a mut [f32]; 4],
}

impl<'a> Normalizer<'a> {
    fn new(norm: &BatchNorm, parameters: &'a Buffer, normalizer: &'a mut Buffer) -> Self {
        Normalizer {
            epsilon: f64::from(norm.epsilon),
            parameters: rows_of(parameters, norm.channels),
            normalizer: rows_mut(normalizer, norm.channels),
        }
    }

    fn channel(&mut self, c: usize, mean: f64, variance: f64) {
        let [gamma, beta] = self.parameters.map(|row| f64::from(row[c]));
        let inverse = 1.0 / (variance + self.epsilon).sqrt();
        let scale = gamma * inverse;
        let values = [scale, beta - mean * scale, mean, inverse];
        for (row, value) in self.normalizer.iter_mut().zip(values) {
            row[c] = value as f32;
        }
    }
}

/// `s1 += x - mean` and `s2 += (x - mean)^2`.
struct Deviations;

/// `f(scale x + shift)`, which is also added to a sum if there is one.
pub(super) struct Affine<F>(PhantomData<F>);

/// `s1 += g` and `s2 += g (x - mean)`.
struct GradientSums<F>(PhantomData<F>);

/// `scale g + b x + c`.
struct InputGradient<F>(PhantomData<F>);

impl<F> Affine<F> {
    pub(super) const NEW: Self = Affine(PhantomData);
}

impl<F> GradientSums<F> {
    const NEW: Self = GradientSums(PhantomData);
}

impl<F> InputGradient<F> {
    const NEW: Self = InputGradient(PhantomData);
}

// SAFETY of every block below: the caller's.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Elementwise<1, 1, 2> for Deviations {
    #[inline(always)]
    unsafe fn of<S: Simd>(
        &self,
        [x]: [S::Vector; 1],
        [mean]: &[S::Vector; 1],
        [s1, s2]: &mut [S::Vector; 2],
    ) -> S::Vector {
        unsafe {
            let deviation = S::sub(x, *mean);
            *s1 = S::add(*s1, deviation);
            *s2 = S::fma(deviation, deviation, *s2);
        }
        x
    }
}

#[allow(clippy::undocumented_unsafe_blocks)]
impl<F: Curve, const SUMS: usize> Elementwise<1, 2, SUMS> for Affine<F> {
    #[inline(always)]
    unsafe fn of<S: Simd>(
        &self,
        [x]: [S::Vector; 1],
        [scale, shift]: &[S::Vector; 2],
        sums: &mut [S::Vector; SUMS],
    ) -> S::Vector {
        unsafe {
            let y = F::value::<S>(S::fma(x, *scale, *shift));
            for sum in sums {
                *sum = S::add(*sum, y);
            }
            y
        }
    }
}

#[allow(clippy::undocumented_unsafe_blocks)]
impl<F: Curve> Elementwise<2, 3, 2> for GradientSums<F> {
    #[inline(always)]
    unsafe fn of<S: Simd>(
        &self,
        [x, dy]: [S::Vector; 2],
        [scale, shift, mean]: &[S::Vector; 3],
        [s1, s2]: &mut [S::Vector; 2],
    ) -> S::Vector {
        unsafe {
            let g = F::gradient::<S>(S::fma(x, *scale, *shift), dy);
            *s1 = S::add(*s1, g);
            *s2 = S::fma(g, S::sub(x, *mean), *s2);
            g
        }
    }
}

#[allow(clippy::undocumented_unsafe_blocks)]
impl<F: Curve> Elementwise<2, 4, 0> for InputGradient<F> {
    #[inline(always)]
    unsafe fn of<S: Simd>(
        &self,
        [x, dy]: [S::Vector; 2],
        [scale, shift, b, c]: &[S::Vector; 4],
        _: &mut [S::Vector; 0],
    ) -> S::Vector {
        unsafe {
            let g = F::gradient::<S>(S::fma(x, *scale, *shift), dy);
            S::fma(*scale, g, S::fma(*b, x, *c))
        }
    }
}

/// The parts of a block, of `len` values each.
fn parts<'a>(
    block: &Parts<'a, Cpu>,
    len: usize,
) -> impl Iterator<Item = &'a [f32]> + Clone + use<'a> {
    block.buffer.slice::<f32>().chunks_exact(len).take(block.count)
}

/// The first `K` rows of a matrix of channels.
fn rows_of<const K: usize>(buffer: &Buffer, channels: usize) -> [&[f32]; K] {
    let mut rows = buffer.slice::<f32>().chunks_exact(channels);
    std::array::from_fn(|_| rows.next().expect("the buffer's capacity was checked"))
}

/// The first `K` rows of a matrix of channels, for writing.
fn rows_mut<const K: usize>(buffer: &mut Buffer, channels: usize) -> [&mut [f32]; K] {
    let mut rows = buffer.slice_mut::<f32>().chunks_exact_mut(channels);
    std::array::from_fn(|_| rows.next().expect("the buffer's capacity was checked"))
}
