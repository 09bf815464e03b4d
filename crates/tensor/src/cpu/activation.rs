use std::marker::PhantomData;

use super::columns::{Elementwise, Pass};
use super::curve::{Curve, with_curve};
use super::simd::Simd;
use super::{Buffer, Cpu, with_float};
use crate::Result;
use crate::ops::{Activation, ActivationBackend};

impl ActivationBackend for Cpu {
    fn activation(&self, f: Activation, len: usize, x: &Buffer, y: &mut Buffer) -> Result<()> {
        with_float!("activation", x, T => with_curve!(Some(f), F => {
            let x = &x.slice::<T>()[..len];
            self.chunks(&mut y.slice_mut::<T>()[..len], 1, |first, y| {
                let inputs = [&x[first..][..y.len()]];
                let pass = Pass { channels: 1, inputs, lines: [], sums: [], output: Some(y) };
                pass.run(self, Value::<F>(PhantomData));
            });
        }));
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
        with_float!("activation_backward", y, T => with_curve!(Some(f), F => {
            let (y, dy) = (&y.slice::<T>()[..len], &dy.slice::<T>()[..len]);
            self.chunks(&mut dx.slice_mut::<T>()[..len], 1, |first, dx| {
                let inputs = [&y[first..][..dx.len()], &dy[first..][..dx.len()]];
                let pass = Pass { channels: 1, inputs, lines: [], sums: [], output: Some(dx) };
                pass.run(self, Gradient::<F>(PhantomData));
            });
        }));
        Ok(())
    }
}

/// `1 / (1 + exp(-x))`.
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// `f(x)`.
struct Value<F>(PhantomData<F>);

/// `f'(x) dy` of `y = f(x)` and `dy`.
struct Gradient<F>(PhantomData<F>);

// SAFETY of every block below: the caller's.
#[allow(clippy::undocumented_unsafe_blocks)]
impl<F: Curve> Elementwise<1, 0, 0> for Value<F> {
    #[inline(always)]
    unsafe fn of<S: Simd>(
        &self,
        [x]: [S::Vector; 1],
        _: &[S::Vector; 0],
        _: &mut [S::Vector; 0],
    ) -> S::Vector {
        unsafe { F::value::<S>(x) }
    }
}

#[allow(clippy::undocumented_unsafe_blocks)]
impl<F: Curve> Elementwise<2, 0, 0> for Gradient<F> {
    #[inline(always)]
    unsafe fn of<S: Simd>(
        &self,
        [y, dy]: [S::Vector; 2],
        _: &[S::Vector; 0],
        _: &mut [S::Vector; 0],
    ) -> S::Vector {
        unsafe { F::gradient_at::<S>(y, dy) }
    }
}
