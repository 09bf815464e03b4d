use std::ops::Range;

use super::{Buffer, Cpu, with_float};
use crate::ops::{Pool2d, Pool2dBackend, Pooling};
use crate::{Float, Result};

impl Pool2dBackend for Cpu {
    fn pool2d(&self, geometry: &Pool2d, images: usize, x: &Buffer, y: &mut Buffer) -> Result<()> {
        let [rows, columns] = geometry.output();
        let row = columns * geometry.channels;
        let work = row * geometry.window.iter().product::<usize>();
        with_float!("pool2d", x, T => {
            let x = x.slice::<T>();
            let y = &mut y.slice_mut::<T>()[..images * rows * row];
            self.weighted_chunks(y, row, work, |first, y| {
                let mut pooled = vec![0.0; geometry.channels];
                for (index, y) in (first..).zip(y.chunks_exact_mut(row)) {
                    let image = image(geometry, x, index / rows);
                    for (q, y) in y.chunks_exact_mut(geometry.channels).enumerate() {
                        let window = Window::new(geometry, [index % rows, q]);
                        pool(geometry, image, &window, &mut pooled);
                        store(&pooled, y);
                    }
                }
            });
        });
        Ok(())
    }

    fn pool2d_backward(
        &self,
        geometry: &Pool2d,
        images: usize,
        x: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        let channels = geometry.channels;
        let [rows, columns] = geometry.output();
        let size = geometry.input.iter().product::<usize>() * channels;
        let work = rows * columns * channels * geometry.window.iter().product::<usize>();
        with_float!("pool2d_backward", x, T => {
            let (x, dy) = (x.slice::<T>(), dy.slice::<T>());
            let dx = &mut dx.slice_mut::<T>()[..images * size];
            self.weighted_chunks(dx, size, work, |first, dx| {
                let mut sums = vec![0.0; size];
                let mut winner = Winner::new(channels);
                for (n, dx) in (first..).zip(dx.chunks_exact_mut(size)) {
                    let image = image(geometry, x, n);
                    sums.fill(0.0);
                    for p in 0..rows {
                        for q in 0..columns {
                            let window = Window::new(geometry, [p, q]);
                            let dy = &dy[((n * rows + p) * columns + q) * channels..][..channels];
                            match geometry.pooling {
                                Pooling::Max => winner.add(image, &window, dy, &mut sums),
                                Pooling::Average => spread(&window, dy, &mut sums),
                            }
                        }
                    }
                    store(&sums, dx);
                }
            });
        });
        Ok(())
    }
}

/// The pixels of a window that lie in the image.
struct Window {
    rows: Range<usize>,
    columns: Range<usize>,
    width: usize,
    channels: usize,
}

impl Window {
    fn new(geometry: &Pool2d, output: [usize; 2]) -> Self {
        let before = [geometry.padding.top, geometry.padding.left];
        let [rows, columns] = [0, 1].map(|axis| {
            let start = output[axis] * geometry.stride[axis];
            let end = (start + geometry.window[axis] - before[axis]).min(geometry.input[axis]);
            start.saturating_sub(before[axis])..end
        });
        Window { rows, columns, width: geometry.input[1], channels: geometry.channels }
    }

    fn count(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// The elements of each pixel, in row-major order.
    fn pixels(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.rows.clone().flat_map(move |row| {
            self.columns.clone().map(move |column| {
                let first = (row * self.width + column) * self.channels;
                first..first + self.channels
            })
        })
    }
}

fn image<'a, T>(geometry: &Pool2d, x: &'a [T], n: usize) -> &'a [T] {
    let size = geometry.input.iter().product::<usize>() * geometry.channels;
    &x[n * size..][..size]
}

fn pool<T: Float>(geometry: &Pool2d, image: &[T], window: &Window, pooled: &mut [f32]) {
    match geometry.pooling {
        Pooling::Max => {
            pooled.fill(f32::NEG_INFINITY);
            for pixel in window.pixels() {
                for (max, x) in pooled.iter_mut().zip(&image[pixel]) {
                    let x = x.to_f32();
                    *max = if x > *max || x.is_nan() { x } else { *max };
                }
            }
        }
        Pooling::Average => {
            pooled.fill(0.0);
            for pixel in window.pixels() {
                for (sum, x) in pooled.iter_mut().zip(&image[pixel]) {
                    *sum += x.to_f32();
                }
            }
            for sum in pooled {
                *sum /= window.count() as f32;
            }
        }
    }
}

/// The maxima of a window so far, and which pixel of the window each of them is.
struct Winner {
    max: Vec<f32>,
    pixel: Vec<u32>,
}

impl Winner {
    fn new(channels: usize) -> Self {
        Winner { max: vec![0.0; channels], pixel: vec![0; channels] }
    }

    /// Adds a window's `dy` to the sums of its first maximum.
    fn add<T: Float>(&mut self, image: &[T], window: &Window, dy: &[T], sums: &mut [f32]) {
        self.max.fill(f32::NEG_INFINITY);
        self.pixel.fill(0);
        for (index, pixel) in (0..).zip(window.pixels()) {
            challenge(&image[pixel], index, &mut self.max, &mut self.pixel);
        }
        for (index, pixel) in (0..).zip(window.pixels()) {
            award(dy, index, &self.pixel, &mut sums[pixel]);
        }
    }
}

/// Takes the values of a pixel that are greater than the maxima so far. The choice is by bits:
/// the compiler makes branches of conditions here.
fn challenge<T: Float>(x: &[T], index: u32, max: &mut [f32], pixel: &mut [u32]) {
    for ((x, max), pixel) in x.iter().zip(max).zip(pixel) {
        let x = x.to_f32();
        let wins = (x > *max) | (x.is_nan() & !max.is_nan());
        let mask = u32::from(wins).wrapping_neg();
        *max = f32::from_bits((x.to_bits() & mask) | (max.to_bits() & !mask));
        *pixel = (index & mask) | (*pixel & !mask);
    }
}

/// Adds `dy` to the sums of the pixel of this index where it is the maximum.
fn award<T: Float>(dy: &[T], index: u32, pixel: &[u32], sums: &mut [f32]) {
    for ((sum, dy), winner) in sums.iter_mut().zip(dy).zip(pixel) {
        let dy = dy.to_f32();
        *sum += if *winner == index { dy } else { 0.0 };
    }
}

/// Adds an equal share of a window's `dy` to the sums of each of its pixels.
fn spread<T: Float>(window: &Window, dy: &[T], sums: &mut [f32]) {
    let count = window.count() as f32;
    for pixel in window.pixels() {
        for (sum, dy) in sums[pixel].iter_mut().zip(dy) {
            *sum += dy.to_f32() / count;
        }
    }
}

fn store<T: Float>(values: &[f32], to: &mut [T]) {
    for (to, value) in to.iter_mut().zip(values) {
        *to = T::from_f32(*value);
    }
}
