use super::columns::Columns;
use super::fused::{with_activation, with_gradient};
use super::{Buffer, Cpu, with_float};
use crate::ops::{Activation, BatchNorm, BatchNormBackend, Parts, Rows, Upstream};
use crate::{Float, Result};

impl BatchNormBackend for Cpu {
    fn batch_norm_moments(&self, rows: Rows, x: &Buffer, moments: &mut Buffer) -> Result<()> {
        let channels = rows.channels;
        let columns = Columns::new(channels);
        let blocks = with_float!("batch_norm_moments", x, T => {
            let x = x.slice::<T>();
            self.map_blocks(rows.count, columns.block(), |block| {
                let x = &x[block.start * channels..block.end * channels];
                block_moments(channels, &columns, x)
            })
        });
        let combined = Combined::of(channels, blocks.iter().map(|moments| &moments[..]));
        let [counts, means, squares] = rows_mut(moments, channels);
        counts.fill(rows.count as f32);
        for c in 0..channels {
            means[c] = combined.means[c] as f32;
            squares[c] = combined.squares[c] as f32;
        }
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
        let combined = Combined::of(channels, parts);
        let [running_means, running_variances] = rows_mut(running, channels);
        let mut write = Normalizer::new(norm, parameters, normalizer);
        let average = |running: &mut f32, batch: f64| {
            let momentum = f64::from(norm.momentum);
            *running = (momentum * f64::from(*running) + (1.0 - momentum) * batch) as f32;
        };
        for c in 0..channels {
            let (mean, variance) = (combined.means[c], combined.squares[c] / combined.rows[c]);
            average(&mut running_means[c], mean);
            average(&mut running_variances[c], variance);
            write.channel(c, mean, variance);
        }
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
        let columns = Columns::new(rows.channels);
        let [scale, shift] = rows_of(normalizer, rows.channels).map(|row| columns.repeat(row));
        with_float!("batch_norm_apply", x, T => with_activation!(activation, f => {
            let x = x.slice::<T>();
            self.chunks(&mut y.slice_mut::<T>()[..rows.elements()], rows.channels, |first, y| {
                let x = &x[first * rows.channels..][..y.len()];
                for (x, y) in x.chunks(scale.len()).zip(y.chunks_mut(scale.len())) {
                    affine(f, x, [&scale, &shift], y);
                }
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
        let columns = Columns::new(channels);
        let [scale, shift, mean, _] = rows_of(normalizer, channels).map(|row| columns.repeat(row));
        let sums = &mut sums.slice_mut::<f32>()[..2 * channels];
        sums.fill(0.0);
        with_float!("batch_norm_backward_sums", upstream.x, T => {
            let (x, dy) = (upstream.x.slice::<T>(), upstream.dy.slice::<T>());
            with_gradient!(upstream.activation, gradient => {
                self.sum_blocks(rows.count, columns.block(), sums, |block, sums| {
                    let block = block.start * channels..block.end * channels;
                    let (x, dy) = (&x[block.clone()], &dy[block]);
                    let (s1, s2) = sums.split_at_mut(channels);
                    columns.sum(x.len(), [s1, s2], |first, [s1, s2]| {
                        let lines = [&scale[..], &shift, &mean];
                        add_sums(gradient, &x[first..], &dy[first..], lines, [s1, s2]);
                    });
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
        let columns = Columns::new(channels);
        let [scale, shift, b, c] = rows_of(coefficients, channels).map(|row| columns.repeat(row));
        with_float!("batch_norm_backward_apply", upstream.x, T => {
            let (x, dy) = (upstream.x.slice::<T>(), upstream.dy.slice::<T>());
            with_gradient!(upstream.activation, gradient => {
                self.chunks(&mut dx.slice_mut::<T>()[..rows.elements()], channels, |first, dx| {
                    let run = first * channels..first * channels + dx.len();
                    let wide = x[run.clone()].chunks(scale.len()).zip(dy[run].chunks(scale.len()));
                    for (dx, (x, dy)) in dx.chunks_mut(scale.len()).zip(wide) {
                        let lines = [&scale[..], &shift, &b, &c];
                        input_gradient(gradient, x, dy, lines, dx);
                    }
                });
            });
        });
        Ok(())
    }
}

/// Means and sums of squared deviations of all rows seen so far.
struct Combined {
    rows: Vec<f64>,
    means: Vec<f64>,
    squares: Vec<f64>,
}

impl Combined {
    /// Of `[3, c]` moments each, in their order; those of no rows have no part in it.
    fn of<'a>(channels: usize, moments: impl Iterator<Item = &'a [f32]>) -> Self {
        let zeros = vec![0.0; channels];
        let mut all = Combined { rows: zeros.clone(), means: zeros.clone(), squares: zeros };
        for moments in moments {
            for c in 0..channels {
                let row = |row: usize| f64::from(moments[row * channels + c]);
                let [rows, mean, squares] = [0, 1, 2].map(row);
                if rows == 0.0 {
                    continue;
                }
                let together = all.rows[c] + rows;
                let delta = mean - all.means[c];
                all.means[c] += delta * rows / together;
                all.squares[c] += squares + delta * delta * all.rows[c] * rows / together;
                all.rows[c] = together;
            }
        }
        all
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

/// Mean and sum of squared deviations of each channel, in two passes over a block that stays in
/// the cache: no difference of large sums.
fn block_moments<T: Float>(channels: usize, columns: &Columns, x: &[T]) -> Vec<f32> {
    let mut moments = vec![(x.len() / channels) as f32; channels];
    moments.resize(3 * channels, 0.0);
    let (means, squares) = moments[channels..].split_at_mut(channels);
    columns.sum(x.len(), [&mut *means], |first, [sums]| {
        for (sum, x) in sums.iter_mut().zip(&x[first..]) {
            *sum += x.to_f32();
        }
    });
    let rows = (x.len() / channels) as f32;
    means.iter_mut().for_each(|mean| *mean /= rows);
    let means = columns.repeat(means);
    columns.sum(x.len(), [squares], |first, [sums]| {
        for ((sum, x), mean) in sums.iter_mut().zip(&x[first..]).zip(&means) {
            let deviation = x.to_f32() - mean;
            *sum += deviation * deviation;
        }
    });
    moments
}

/// `y = f(scale x + shift)`; this and the loops below are functions for the sake of the compiler,
/// which takes their slices to be disjoint and vectorises them.
fn affine<T: Float>(f: impl Fn(f32) -> f32, x: &[T], lines: [&[f32]; 2], y: &mut [T]) {
    let [scale, shift] = lines;
    for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
        *y = T::from_f32(f(x.to_f32() * scale + shift));
    }
}

/// `s1 += g` and `s2 += g (x - mean)`.
fn add_sums<T: Float>(
    gradient: impl Fn(f32, f32) -> f32,
    x: &[T],
    dy: &[T],
    lines: [&[f32]; 3],
    sums: [&mut [f32]; 2],
) {
    let ([scale, shift, mean], [s1, s2]) = (lines, sums);
    let channel = scale.iter().zip(shift).zip(mean);
    let elements = s1.iter_mut().zip(s2).zip(x.iter().zip(dy));
    for (((s1, s2), (x, dy)), ((scale, shift), mean)) in elements.zip(channel) {
        let x = x.to_f32();
        let g = gradient(x * scale + shift, dy.to_f32());
        *s1 += g;
        *s2 += g * (x - mean);
    }
}

/// `dx = scale g + b x + c`.
fn input_gradient<T: Float>(
    gradient: impl Fn(f32, f32) -> f32,
    x: &[T],
    dy: &[T],
    lines: [&[f32]; 4],
    dx: &mut [T],
) {
    let [scale, shift, b, c] = lines;
    let channel = scale.iter().zip(shift).zip(b.iter().zip(c));
    for ((dx, (x, dy)), ((scale, shift), (b, c))) in
        dx.iter_mut().zip(x.iter().zip(dy)).zip(channel)
    {
        let x = x.to_f32();
        let g = gradient(x * scale + shift, dy.to_f32());
        *dx = T::from_f32(scale * g + (b * x + c));
    }
}

/// The parts of a block, of `len` values each.
fn parts<'a>(block: &Parts<'a, Cpu>, len: usize) -> impl Iterator<Item = &'a [f32]> {
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
