use super::columns::{Elementwise, NO_OUTPUT, Pass, Total};
use super::simd::Simd;
use super::{Buffer, Cpu, with_float};
use crate::Result;
use crate::ops::{GlobalAveragePool, GlobalAveragePoolBackend};

impl GlobalAveragePoolBackend for Cpu {
    fn global_average_pool(
        &self,
        geometry: &GlobalAveragePool,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        let &GlobalAveragePool { images, pixels, channels } = geometry;
        let image = pixels * channels;
        let y = &mut y.slice_mut::<f32>()[..images * channels];
        with_float!("global_average_pool", x, T => {
            let x = x.slice::<T>();
            self.weighted_chunks(y, channels, image, |first, y| {
                let images = x[first * image..].chunks_exact(image);
                for (y, x) in y.chunks_exact_mut(channels).zip(images) {
                    y.fill(0.0);
                    let sums = [&mut *y];
                    let pass =
                        Pass { channels, inputs: [x], lines: [], sums, output: NO_OUTPUT };
                    pass.run(self, Total);
                    for y in y {
                        *y /= pixels as f32;
                    }
                }
            });
        });
        Ok(())
    }

    fn global_average_pool_backward(
        &self,
        geometry: &GlobalAveragePool,
        dy: &Buffer,
        mask: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()> {
        let &GlobalAveragePool { images, pixels, channels } = geometry;
        let image = pixels * channels;
        let (dy, share) = (dy.slice::<f32>(), Share { pixels: pixels as f32 });
        with_float!("global_average_pool_backward", dx, T => {
            let mask = mask.map(|mask| mask.slice::<T>());
            self.chunks(&mut dx.slice_mut::<T>()[..images * image], image, |first, dx| {
                for (n, dx) in (first..).zip(dx.chunks_exact_mut(image)) {
                    let lines = [&dy[n * channels..][..channels]];
                    let (sums, output) = ([], Some(dx));
                    match mask {
                        Some(mask) => {
                            let inputs = [&mask[n * image..][..image]];
                            Pass { channels, inputs, lines, sums, output }.run(self, share);
                        }
                        None => {
                            let inputs: [&[T]; 0] = [];
                            Pass { channels, inputs, lines, sums, output }.run(self, share);
                        }
                    }
                }
            });
        });
        Ok(())
    }
}

/// A pixel's share of the gradient of a mean, where the mask is positive if there is one.
#[derive(Clone, Copy)]
struct Share {
    pixels: f32,
}

impl<const MASKS: usize> Elementwise<MASKS, 1, 0> for Share {
    #[inline(always)]
    unsafe fn of<S: Simd>(
        &self,
        masks: [S::Vector; MASKS],
        [dy]: &[S::Vector; 1],
        _: &mut [S::Vector; 0],
    ) -> S::Vector {
        // SAFETY: the caller's.
        unsafe {
            let mut share = S::mul(*dy, S::splat(1.0 / self.pixels));
            for mask in masks {
                share = S::where_positive(mask, share);
            }
            share
        }
    }
}
