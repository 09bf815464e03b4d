use super::columns::{Elementwise, Pass};
use super::concat::CopyTask;
use super::simd::Simd;
use super::{Buffer, Cpu, with_float};
use crate::Result;
use crate::ops::{AddBackend, ChannelRange, CopyChannels, Sum};

impl AddBackend for Cpu {
    fn add(&self, len: usize, a: &Buffer, b: &Buffer, y: &mut Buffer) -> Result<()> {
        with_float!("add", a, T => {
            let (a, b) = (&a.slice::<T>()[..len], &b.slice::<T>()[..len]);
            self.chunks(&mut y.slice_mut::<T>()[..len], 1, |first, y| {
                let inputs = [&a[first..][..y.len()], &b[first..][..y.len()]];
                let pass = Pass { channels: 1, inputs, lines: [], sums: [], output: Some(y) };
                pass.run(self, Both);
            });
        });
        Ok(())
    }

    fn add_assign(&self, len: usize, x: &Buffer, y: &mut Buffer) -> Result<()> {
        with_float!("add_assign", x, T => {
            let x = &x.slice::<T>()[..len];
            self.chunks(&mut y.slice_mut::<T>()[..len], 1, |first, y| {
                let whole = ChannelRange { first: 0, width: y.len() };
                let geometry = CopyChannels { rows: 1, channels: y.len(), from: whole, to: whole };
                let x = &x[first..][..y.len()];
                self.engine().run(CopyTask { geometry, x, sum: Sum::Add, y });
            });
        });
        Ok(())
    }
}

/// `a + b`.
struct Both;

impl Elementwise<2, 0, 0> for Both {
    #[inline(always)]
    unsafe fn of<S: Simd>(
        &self,
        [a, b]: [S::Vector; 2],
        _: &[S::Vector; 0],
        _: &mut [S::Vector; 0],
    ) -> S::Vector {
        // SAFETY: the caller's.
        unsafe { S::add(a, b) }
    }
}
