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
        with_float!("activation_backward", y, T => {
            let (y, dy) = (&y.slice::<T>()[..len], &dy.slice::<T>()[..len]);
            self.chunks(&mut dx.slice_mut::<T>()[..len], 1, |first, dx| {
                let inputs = [&y[first..][..dx.len()], &dy[first..][..dx.len()]];
                let pass = Pass { channels: 1, inputs, lines: [], sums: [], output: Some(dx) };
                match f {
                    Activation::Relu => pass.run(self, ReluGradient),
                    Activation::Tanh => pass.run(self, TanhGradient),
                    Activation::Sigmoid => pass.run(self, SigmoidGradient),
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

/// `f(x)`.
struct Value<F>(PhantomData<F>);

/// `dy` where `y > 0`, else 0.
struct ReluGradient;

/// `(1 - y^2) dy`.
struct TanhGradient;

/// `y (1 - y) dy`.
struct SigmoidGradient;

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
impl Elementwise<2, 0, 0> for ReluGradient {
    #[inline(always)]
    unsafe fn of<S: Simd>(
        &self,
        [y, dy]: [S::Vector; 2],
        _: &[S::Vector; 0],
        _: &mut [S::Vector; 0],
    ) -> S::Vector {
        unsafe { S::where_positive(y, dy) }
    }
}

#[allow(clippy::undocumented_unsafe_blocks)]
impl Elementwise<2, 0, 0> for TanhGradient {
    #[inline(always)]
    unsafe fn of<S: Simd>(
        &self,
        [y, dy]: [S::Vector; 2],
        _: &[S::Vector; 0],
        _: &mut [S::Vector; 0],
    ) -> S::Vector {
        unsafe { S::mul(S::sub(S::splat(1.0), S::mul(y, y)), dy) }
    }
}

#[allow(clippy::undocumented_unsafe_blocks)]
impl Elementwise<2, 0, 0> for SigmoidGradient {
    #[inline(always)]
    unsafe fn of<S: Simd>(
        &self,
        [y, dy]: [S::Vector; 2],
        _: &[S::Vector; 0],
        _: &mut [S::Vector; 0],
    ) -> S::Vector {
        unsafe { S::mul(S::mul(y, S::sub(S::splat(1.0), y)), dy) }
    }
}
