use super::simd::{Arithmetic, Simd, Task};
use super::{Buffer, Cpu, with_float};
use crate::ops::{ConcatBackend, CopyChannels, Sum};
use crate::{Float, Result};

impl ConcatBackend for Cpu {
    fn copy_channels(
        &self,
        geometry: &CopyChannels,
        x: &Buffer,
        sum: Sum,
        y: &mut Buffer,
    ) -> Result<()> {
        let &CopyChannels { rows, channels, from, to } = geometry;
        with_float!("copy_channels", x, T => {
            let x = &x.slice::<T>()[..rows * from.width];
            let y = &mut y.slice_mut::<T>()[..rows * to.width];
            self.weighted_chunks(y, to.width, channels, |first, y| {
                let x = &x[first * from.width..];
                let geometry = CopyChannels { rows: y.len() / to.width, ..*geometry };
                self.engine().run(CopyTask { geometry, x, sum, y });
            });
        });
        Ok(())
    }
}

/// Copies or adds some channels of every row.
pub(super) struct CopyTask<'a, T> {
    pub(super) geometry: CopyChannels,
    pub(super) x: &'a [T],
    pub(super) sum: Sum,
    pub(super) y: &'a mut [T],
}

impl<T: Float> Task for CopyTask<'_, T> {
    #[inline(always)]
    fn run<M: Arithmetic>(self) {
        match self.sum {
            Sum::Store => self.rows::<M::S, false>(),
            Sum::Add => self.rows::<M::S, true>(),
        }
    }
}

impl<T: Float> CopyTask<'_, T> {
    #[inline(always)]
    fn rows<S: Simd, const ADD: bool>(self) {
        let CopyChannels { rows, channels, from, to } = self.geometry;
        for row in 0..rows {
            let x = &self.x[row * from.width + from.first..][..channels];
            let y = &mut self.y[row * to.width + to.first..][..channels];
            let mut channel = 0;
            while channel + S::LANES <= channels {
                // SAFETY: a vector within both slices; the task runs on an engine of `S`.
                unsafe { step::<S, T, ADD>(x, y, channel, S::LANES) };
                channel += S::LANES;
            }
            if channel < channels {
                // SAFETY: as above, the lanes that are left.
                unsafe { step::<S, T, ADD>(x, y, channel, channels - channel) };
            }
        }
    }
}

/// # Safety
/// [`Simd`]'s, and both have `lanes` elements from `at` on.
#[inline(always)]
unsafe fn step<S: Simd, T: Float, const ADD: bool>(x: &[T], y: &mut [T], at: usize, lanes: usize) {
    // SAFETY: the caller's.
    unsafe {
        let to = y.as_mut_ptr().add(at);
        let mut value = S::load_as(x.as_ptr().add(at), lanes);
        if ADD {
            value = S::add(S::load_as(to.cast_const(), lanes), value);
        }
        S::store_as(to, value, lanes);
    }
}
