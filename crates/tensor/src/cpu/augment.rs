use std::ops::Range;

use super::scratch::{Slot, with_values};
use super::simd::{Arithmetic, Engine, Task};
use super::{Buffer, Cpu, with_float};
use crate::ops::{
    Augment, AugmentBackend, AugmentInputs, Crop, Draw, ImageBatch, ImageSource, Normalisation,
    Placement,
};
use crate::{DType, Float, Result};

impl AugmentBackend for Cpu {
    fn augment(
        &self,
        batch: ImageBatch,
        augment: &Augment,
        AugmentInputs { images, indices, clock }: AugmentInputs<'_, Buffer>,
        y: &mut Buffer,
    ) -> Result<()> {
        let later = u64::from(clock.map_or(0, |clock| clock.slice::<u32>()[0]));
        let draw = augment.draw.map(|draw| Draw { step: draw.step.wrapping_add(later), ..draw });
        let augment = &Augment { draw, ..*augment };
        let pitch = batch.width * batch.channels;
        let size = batch.height * pitch;
        let blended = match augment.crop {
            Crop::Upsample { .. } => pitch,
            Crop::None | Crop::Pad { .. } => 0,
        };
        let (images, indices) = (images.slice::<u8>(), &indices.slice::<u32>()[..batch.count]);
        let engine = Engine::new(self.isa, DType::F32);
        with_float!("augment", y, T => {
            let y = &mut y.slice_mut::<T>()[..batch.count * size];
            self.chunks(y, size, |first, y| {
                let indices = &indices[first..][..y.len() / size];
                with_values(Slot::Image, blended, |blended| {
                    engine.run(Images { batch, augment, images, first, indices, blended, y });
                });
            });
        });
        Ok(())
    }
}

/// A thread's share of a batch.
struct Images<'a, T> {
    batch: ImageBatch,
    augment: &'a Augment,
    images: &'a [u8],
    /// The place of the first of them in the batch.
    first: usize,
    indices: &'a [u32],
    /// Room for a row between two of an image that is enlarged.
    blended: &'a mut [f32],
    y: &'a mut [T],
}

impl<T: Float> Task for Images<'_, T> {
    #[inline(always)]
    fn run<M: Arithmetic>(self) {
        let ImageBatch { height, width, channels, .. } = self.batch;
        let (pitch, size) = (width * channels, height * width * channels);
        let images = self.indices.iter().zip(self.y.chunks_exact_mut(size));
        for (place, (&index, y)) in (self.first..).zip(images) {
            let place = match self.batch.source {
                ImageSource::Dataset => index as usize,
                ImageSource::Batch => place,
            };
            let x = &self.images[place * size..][..size];
            let affine = Affine::of(self.augment.normalisation, x, channels);
            let Placement { row, column, mirrored, hole } = self.augment.place(self.batch, index);
            let image = Image { batch: self.batch, x, affine };
            for (i, y) in y.chunks_exact_mut(pitch).enumerate() {
                match self.augment.crop {
                    Crop::None => image.affine.apply(&x[i * pitch..][..pitch], y),
                    Crop::Pad { by } => image.padded_row(by, [row + i, column], y),
                    Crop::Upsample { by } => {
                        image.enlarged_row(by, [row + i, column], self.blended, y);
                    }
                }
                if mirrored {
                    mirror(y, channels);
                }
                if hole[0].contains(&i) {
                    let columns = &hole[1];
                    y[columns.start * channels..columns.end * channels].fill(T::from_f32(0.0));
                }
            }
        }
    }
}

/// An image of the dataset and what normalises it.
struct Image<'a> {
    batch: ImageBatch,
    x: &'a [u8],
    affine: Affine,
}

impl Image<'_> {
    /// The row of the padded image from a place on.
    #[inline(always)]
    fn padded_row<T: Float>(&self, by: usize, [row, column]: [usize; 2], y: &mut [T]) {
        let ImageBatch { height, width, channels, .. } = self.batch;
        let columns = inside(column, by, width);
        y.fill(T::from_f32(0.0));
        if (by..by + height).contains(&row) && !columns.is_empty() {
            let from = (row - by) * width + columns.start + column - by;
            let y = &mut y[columns.start * channels..columns.end * channels];
            self.affine.apply(&self.x[from * channels..][..y.len()], y);
        }
    }

    /// The row of the enlarged image from a place on; `blended` is for a row between two.
    #[inline(always)]
    fn enlarged_row<T: Float>(
        &self,
        by: usize,
        [row, column]: [usize; 2],
        blended: &mut [f32],
        y: &mut [T],
    ) {
        let ImageBatch { height, width, channels, .. } = self.batch;
        let Between { first, second, part } = Between::of(row, height, height + by);
        let [above, below] = [first, second].map(|row| &self.x[row * width * channels..]);
        blend(above, below, part, blended);
        for (j, y) in y.chunks_exact_mut(channels).enumerate() {
            let Between { first, second, part } = Between::of(column + j, width, width + by);
            let [left, right] =
                [first, second].map(|column| &blended[column * channels..][..channels]);
            for (c, y) in y.iter_mut().enumerate() {
                let x = left[c] + part * (right[c] - left[c]);
                *y = T::from_f32((x - self.affine.mean[c]) * self.affine.scale[c]);
            }
        }
    }
}

/// The columns of a piece that lie inside the image, which has `by` zeros before it and after it;
/// the piece starts at `first` of both together.
#[inline(always)]
fn inside(first: usize, by: usize, side: usize) -> Range<usize> {
    by.saturating_sub(first).min(side)..side.min((side + by).saturating_sub(first))
}

/// `(x - mean[c]) scale[c]`.
struct Affine {
    mean: [f32; 4],
    scale: [f32; 4],
    /// After how many elements mean and scale repeat: 1 where they are those of all channels.
    period: usize,
}

impl Affine {
    #[inline(always)]
    fn of(normalisation: Normalisation, x: &[u8], channels: usize) -> Self {
        match normalisation {
            Normalisation::Scale => Affine { mean: [0.0; 4], scale: [1.0 / 255.0; 4], period: 1 },
            Normalisation::PerChannel { mean, deviation } => {
                Affine { mean, scale: deviation.map(|deviation| 1.0 / deviation), period: channels }
            }
            Normalisation::Whitening => {
                let count = x.len() as f64;
                // Exact: the squares of 2^48 bytes fit.
                let sum: u64 = x.iter().map(|&x| u64::from(x)).sum();
                let squares: u64 = x.iter().map(|&x| u64::from(x) * u64::from(x)).sum();
                let mean = sum as f64 / count;
                let variance = (squares as f64 / count - mean * mean).max(0.0);
                let deviation = variance.sqrt().max(count.sqrt().recip());
                let scale = deviation.recip() as f32;
                Affine { mean: [mean as f32; 4], scale: [scale; 4], period: 1 }
            }
        }
    }

    #[inline(always)]
    fn apply<T: Float>(&self, x: &[u8], y: &mut [T]) {
        match self.period {
            1 => self.apply_period::<T, 1>(x, y),
            2 => self.apply_period::<T, 2>(x, y),
            3 => self.apply_period::<T, 3>(x, y),
            _ => self.apply_period::<T, 4>(x, y),
        }
    }

    #[inline(always)]
    fn apply_period<T: Float, const PERIOD: usize>(&self, x: &[u8], y: &mut [T]) {
        for (y, x) in y.chunks_exact_mut(PERIOD).zip(x.chunks_exact(PERIOD)) {
            for c in 0..PERIOD {
                y[c] = T::from_f32((f32::from(x[c]) - self.mean[c]) * self.scale[c]);
            }
        }
    }
}

/// A place between two rows or columns.
struct Between {
    first: usize,
    second: usize,
    /// How far it is from the first to the second.
    part: f32,
}

impl Between {
    /// Place `i` of `enlarged` in the image's `side`: `(i + 1/2) side / enlarged - 1/2`, in whole
    /// numbers of the `2 * enlarged`th part, so that every device finds the same.
    #[inline(always)]
    fn of(i: usize, side: usize, enlarged: usize) -> Self {
        let parts = ((2 * i + 1) * side).saturating_sub(enlarged);
        let first = parts / (2 * enlarged);
        let part = (parts % (2 * enlarged)) as f32 / (2 * enlarged) as f32;
        Between { first, second: (first + 1).min(side - 1), part }
    }
}

#[inline(always)]
fn blend(above: &[u8], below: &[u8], part: f32, blended: &mut [f32]) {
    for ((blended, &above), &below) in blended.iter_mut().zip(above).zip(below) {
        let (above, below) = (f32::from(above), f32::from(below));
        *blended = above + part * (below - above);
    }
}

/// Reverses the pixels of a row.
#[inline(always)]
fn mirror<T: Float>(row: &mut [T], channels: usize) {
    row.reverse();
    if channels > 1 {
        row.chunks_exact_mut(channels).for_each(<[T]>::reverse);
    }
}
