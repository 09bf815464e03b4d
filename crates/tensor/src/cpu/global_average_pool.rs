use super::columns::Columns;
use super::{Buffer, Cpu, with_float};
use crate::ops::{GlobalAveragePool, GlobalAveragePoolBackend};
use crate::{Float, Result};

impl GlobalAveragePoolBackend for Cpu {
    fn global_average_pool(
        &self,
        geometry: &GlobalAveragePool,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        let &GlobalAveragePool { images, pixels, channels } = geometry;
        let image = pixels * channels;
        let columns = Columns::new(channels);
        let y = &mut y.slice_mut::<f32>()[..images * channels];
        with_float!("global_average_pool", x, T => {
            let x = x.slice::<T>();
            self.weighted_chunks(y, channels, image, |first, y| {
                let images = x[first * image..].chunks_exact(image);
                for (y, x) in y.chunks_exact_mut(channels).zip(images) {
                    y.fill(0.0);
                    columns.sum(image, [&mut *y], |first, [sums]| {
                        for (sum, x) in sums.iter_mut().zip(&x[first..]) {
                            *sum += x.to_f32();
                        }
                    });
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
        let columns = Columns::new(channels);
        let dy = dy.slice::<f32>();
        with_float!("global_average_pool_backward", dx, T => {
            let mask = mask.map(|mask| mask.slice::<T>());
            self.chunks(&mut dx.slice_mut::<T>()[..images * image], image, |first, dx| {
                for (n, dx) in (first..).zip(dx.chunks_exact_mut(image)) {
                    let dy = &dy[n * channels..][..channels];
                    let shares: Vec<f32> = dy.iter().map(|dy| dy / pixels as f32).collect();
                    let shares = columns.repeat(&shares);
                    let shares: Vec<T> = shares.into_iter().map(T::from_f32).collect();
                    spread(&shares, mask.map(|mask| &mask[n * image..][..image]), dx);
                }
            });
        });
        Ok(())
    }
}

/// Fills `dx` with repetitions of `shares`, with zeros where the mask is not positive.
fn spread<T: Float>(shares: &[T], mask: Option<&[T]>, dx: &mut [T]) {
    let width = shares.len();
    let Some(mask) = mask else {
        return dx.chunks_mut(width).for_each(|dx| dx.copy_from_slice(&shares[..dx.len()]));
    };
    for (dx, mask) in dx.chunks_mut(width).zip(mask.chunks(width)) {
        for ((dx, mask), share) in dx.iter_mut().zip(mask).zip(shares) {
            *dx = if mask.to_f32() > 0.0 { *share } else { T::zeroed() };
        }
    }
}
