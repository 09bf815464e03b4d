use std::ops::Range;

use super::scratch::{Slot, with_values};
use super::simd::{Arithmetic, Simd, Task};
use super::{Buffer, Cpu, with_float};
use crate::ops::{Pool2d, Pool2dBackend, Pooling};
use crate::{DType, Float, Result};

impl Pool2dBackend for Cpu {
    fn pool2d(&self, geometry: &Pool2d, images: usize, x: &Buffer, y: &mut Buffer) -> Result<()> {
        let [rows, columns] = geometry.output();
        let row = columns * geometry.channels;
        let work = row * geometry.window.iter().product::<usize>();
        with_float!("pool2d", x, T => {
            let x = x.slice::<T>();
            let y = &mut y.slice_mut::<T>()[..images * rows * row];
            self.weighted_chunks(y, row, work, |first, y| {
                self.engine().run(PoolTask { geometry, x, first, y });
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
        let [size, map] = [geometry.image_len(), geometry.map_len()];
        let work = map * geometry.window.iter().product::<usize>();
        let sums = if x.dtype() == DType::F32 { 0 } else { size };
        with_float!("pool2d_backward", x, T => {
            let (x, dy) = (x.slice::<T>(), dy.slice::<T>());
            let dx = &mut dx.slice_mut::<T>()[..images * size];
            self.weighted_chunks(dx, size, work, |first, dx| {
                with_values(Slot::Sums, sums, |sums| {
                    self.engine().run(GradientTask { geometry, x, dy, first, dx, sums });
                });
            });
        });
        Ok(())
    }
}

impl Pool2d {
    fn image_len(&self) -> usize {
        self.input.iter().product::<usize>() * self.channels
    }

    fn map_len(&self) -> usize {
        self.output().iter().product::<usize>() * self.channels
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
    #[inline(always)]
    fn new(geometry: &Pool2d, output: [usize; 2]) -> Self {
        let before = [geometry.padding.top, geometry.padding.left];
        let [rows, columns] = [0, 1].map(|axis| {
            let start = output[axis] * geometry.stride[axis];
            let end = (start + geometry.window[axis] - before[axis]).min(geometry.input[axis]);
            start.saturating_sub(before[axis])..end
        });
        Window { rows, columns, width: geometry.input[1], channels: geometry.channels }
    }

    fn count(&self) -> f32 {
        (self.rows.len() * self.columns.len()) as f32
    }

    /// Where a pixel starts in the image.
    #[inline(always)]
    fn pixel(&self, row: usize, column: usize) -> usize {
        (row * self.width + column) * self.channels
    }
}

// No loop of vectors here goes through a closure: the compiler would leave one without the
// instruction set of the function that it stands in.

/// Some rows of the output.
struct PoolTask<'a, T> {
    geometry: &'a Pool2d,
    x: &'a [T],
    first: usize,
    y: &'a mut [T],
}

impl<T: Float> Task for PoolTask<'_, T> {
    #[inline(always)]
    fn run<M: Arithmetic>(self) {
        match self.geometry.pooling {
            Pooling::Max => self.rows::<M::S, true>(),
            Pooling::Average => self.rows::<M::S, false>(),
        }
    }
}

impl<T: Float> PoolTask<'_, T> {
    #[inline(always)]
    fn rows<S: Simd, const MAX: bool>(self) {
        let PoolTask { geometry, x, first, y } = self;
        let ([rows, columns], channels) = (geometry.output(), geometry.channels);
        for (index, y) in (first..).zip(y.chunks_exact_mut(columns * channels)) {
            let image = &x[index / rows * geometry.image_len()..][..geometry.image_len()];
            for (column, y) in y.chunks_exact_mut(channels).enumerate() {
                let window = Window::new(geometry, [index % rows, column]);
                for channel in (0..channels).step_by(S::LANES) {
                    let lanes = S::LANES.min(channels - channel);
                    // SAFETY: the window's pixels lie in the image, the lanes in each pixel; the
                    // task runs on an engine of `S`.
                    unsafe {
                        let pooled = pool::<S, T, MAX>(image, &window, channel, lanes);
                        S::store_as(y.as_mut_ptr().add(channel), pooled, lanes);
                    }
                }
            }
        }
    }
}

/// The maxima or means over a window of `lanes` channels from `channel` on.
///
/// # Safety
/// [`Simd`]'s; the window lies in the image, the lanes in its channels.
#[inline(always)]
unsafe fn pool<S: Simd, T: Float, const MAX: bool>(
    image: &[T],
    window: &Window,
    channel: usize,
    lanes: usize,
) -> S::Vector {
    // SAFETY: the caller's.
    unsafe {
        let mut pooled = S::splat(if MAX { f32::NEG_INFINITY } else { 0.0 });
        for row in window.rows.clone() {
            for column in window.columns.clone() {
                let pixel = image.as_ptr().add(window.pixel(row, column));
                let x = S::load_as(pixel.add(channel), lanes);
                pooled = match MAX {
                    true => S::where_greater([x, pooled], x, pooled),
                    false => S::add(pooled, x),
                };
            }
        }
        if MAX { pooled } else { S::div(pooled, S::splat(window.count())) }
    }
}

/// The gradients of some images.
struct GradientTask<'a, T> {
    geometry: &'a Pool2d,
    x: &'a [T],
    dy: &'a [T],
    first: usize,
    dx: &'a mut [T],
    /// Room for an image's sums, unless these are the gradients as they are.
    sums: &'a mut [f32],
}

impl<T: Float> Task for GradientTask<'_, T> {
    #[inline(always)]
    fn run<M: Arithmetic>(self) {
        match self.geometry.pooling {
            Pooling::Max => self.images::<M::S, true>(),
            Pooling::Average => self.images::<M::S, false>(),
        }
    }
}

impl<T: Float> GradientTask<'_, T> {
    #[inline(always)]
    fn images<S: Simd, const MAX: bool>(self) {
        let GradientTask { geometry, x, dy, first, dx, sums } = self;
        let [size, map] = [geometry.image_len(), geometry.map_len()];
        for (n, dx) in (first..).zip(dx.chunks_exact_mut(size)) {
            let (x, dy) = (&x[n * size..][..size], &dy[n * map..][..map]);
            if T::DTYPE == DType::F32 {
                let dx = bytemuck::cast_slice_mut(dx);
                image::<S, T, MAX>(geometry, x, dy, dx);
                continue;
            }
            image::<S, T, MAX>(geometry, x, dy, sums);
            for at in (0..size).step_by(S::LANES) {
                let lanes = S::LANES.min(size - at);
                // SAFETY: both have `size` elements; the task runs on an engine of `S`.
                unsafe {
                    let sums = S::load_as(sums.as_ptr().add(at), lanes);
                    S::store_as(dx.as_mut_ptr().add(at), sums, lanes);
                }
            }
        }
    }
}

/// The gradients of an image, added up window by window.
#[inline(always)]
fn image<S: Simd, T: Float, const MAX: bool>(
    geometry: &Pool2d,
    x: &[T],
    dy: &[T],
    sums: &mut [f32],
) {
    let ([rows, columns], channels) = (geometry.output(), geometry.channels);
    sums.fill(0.0);
    for row in 0..rows {
        for column in 0..columns {
            let window = Window::new(geometry, [row, column]);
            let dy = &dy[(row * columns + column) * channels..][..channels];
            for channel in (0..channels).step_by(S::LANES) {
                let lanes = S::LANES.min(channels - channel);
                // SAFETY: the window's pixels lie in the image, the lanes in each pixel; the task
                // runs on an engine of `S`.
                unsafe {
                    let dy = S::load_as(dy.as_ptr().add(channel), lanes);
                    match MAX {
                        true => award::<S, T>(x, &window, (channel, lanes), dy, sums),
                        false => spread::<S>(&window, (channel, lanes), dy, sums),
                    }
                }
            }
        }
    }
}

/// Adds a window's `dy` to the sums of its first maximum.
///
/// # Safety
/// As for [`pool`]; the sums are as many as the image has elements.
#[inline(always)]
unsafe fn award<S: Simd, T: Float>(
    image: &[T],
    window: &Window,
    (channel, lanes): (usize, usize),
    dy: S::Vector,
    sums: &mut [f32],
) {
    // SAFETY: the caller's.
    unsafe {
        let (mut max, mut winner) = (S::splat(f32::NEG_INFINITY), S::splat(0.0));
        let mut index = 0.0;
        for row in window.rows.clone() {
            for column in window.columns.clone() {
                let pixel = image.as_ptr().add(window.pixel(row, column));
                let x = S::load_as(pixel.add(channel), lanes);
                winner = S::where_greater([x, max], S::splat(index), winner);
                max = S::where_greater([x, max], x, max);
                index += 1.0;
            }
        }
        let mut index = 0.0;
        for row in window.rows.clone() {
            for column in window.columns.clone() {
                let pixel = sums.as_mut_ptr().add(window.pixel(row, column));
                let won = S::where_equal(winner, S::splat(index), dy);
                add::<S>(pixel.add(channel), won, lanes);
                index += 1.0;
            }
        }
    }
}

/// Adds an equal share of a window's `dy` to the sums of each of its pixels.
///
/// # Safety
/// As for [`award`].
#[inline(always)]
unsafe fn spread<S: Simd>(
    window: &Window,
    (channel, lanes): (usize, usize),
    dy: S::Vector,
    sums: &mut [f32],
) {
    // SAFETY: the caller's.
    unsafe {
        let share = S::div(dy, S::splat(window.count()));
        for row in window.rows.clone() {
            for column in window.columns.clone() {
                let pixel = sums.as_mut_ptr().add(window.pixel(row, column));
                add::<S>(pixel.add(channel), share, lanes);
            }
        }
    }
}

/// # Safety
/// [`Simd`]'s; `lanes` sums are there.
#[inline(always)]
unsafe fn add<S: Simd>(sums: *mut f32, terms: S::Vector, lanes: usize) {
    // SAFETY: the caller's.
    unsafe { S::store_as(sums, S::add(S::load_as(sums, lanes), terms), lanes) }
}
