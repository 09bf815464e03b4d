use super::{Buffer, Cpu, with_float};
use crate::ops::{Activation, ActivationBackend};
use crate::{Float, Result};

impl ActivationBackend for Cpu {
    fn activation(&self, f: Activation, len: usize, x: &Buffer, y: &mut Buffer) -> Result<()> {
        with_float!("activation", x, T => {
            let x = &x.slice::<T>()[..len];
            self.chunks(&mut y.slice_mut::<T>()[..len], 1, |first, y| {
                let x = &x[first..][..y.len()];
                match f {
                    Activation::Relu => map(x, y, |x| if x < 0.0 { 0.0 } else { x }),
                    Activation::Tanh => map(x, y, f32::tanh),
                    Activation::Sigmoid => map(x, y, sigmoid),
                }
            });
        });
        Ok(())
    }

    fn activation_backward(
        &self,
        f: Activation,
        len: usize,
        y: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        with_float!("activation_backward", y, T => {
            let (y, dy) = (&y.slice::<T>()[..len], &dy.slice::<T>()[..len]);
            self.chunks(&mut dx.slice_mut::<T>()[..len], 1, |first, dx| {
                let (y, dy) = (&y[first..][..dx.len()], &dy[first..][..dx.len()]);
                match f {
                    Activation::Relu => zip(y, dy, dx, |y, dy| if y > 0.0 { dy } else { 0.0 }),
                    Activation::Tanh => zip(y, dy, dx, |y, dy| (1.0 - y * y) * dy),
                    Activation::Sigmoid => zip(y, dy, dx, |y, dy| y * (1.0 - y) * dy),
                }
            });
        });
        Ok(())
    }
}

/// `1 / (1 + exp(-x))`.
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn map<T: Float>(x: &[T], y: &mut [T], f: impl Fn(f32) -> f32) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = T::from_f32(f(x.to_f32()));
    }
}

fn zip<T: Float>(y: &[T], dy: &[T], dx: &mut [T], f: impl Fn(f32, f32) -> f32) {
    for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
        *dx = T::from_f32(f(y.to_f32(), dy.to_f32()));
    }
}
