use super::{Buffer, Cpu, with_float};
use crate::ops::AddBackend;
use crate::{Float, Result};

impl AddBackend for Cpu {
    fn add(&self, len: usize, a: &Buffer, b: &Buffer, y: &mut Buffer) -> Result<()> {
        with_float!("add", a, T => {
            let (a, b) = (&a.slice::<T>()[..len], &b.slice::<T>()[..len]);
            self.chunks(&mut y.slice_mut::<T>()[..len], 1, |first, y| {
                sum(&a[first..][..y.len()], &b[first..][..y.len()], y);
            });
        });
        Ok(())
    }

    fn add_assign(&self, len: usize, x: &Buffer, y: &mut Buffer) -> Result<()> {
        with_float!("add_assign", x, T => {
            let x = &x.slice::<T>()[..len];
            self.chunks(&mut y.slice_mut::<T>()[..len], 1, |first, y| {
                accumulate(&x[first..][..y.len()], y);
            });
        });
        Ok(())
    }
}

/// `y += x`.
pub(super) fn accumulate<T: Float>(x: &[T], y: &mut [T]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = T::from_f32(y.to_f32() + x.to_f32());
    }
}

fn sum<T: Float>(a: &[T], b: &[T], y: &mut [T]) {
    for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
        *y = T::from_f32(a.to_f32() + b.to_f32());
    }
}
