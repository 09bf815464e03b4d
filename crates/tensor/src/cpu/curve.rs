//! Activations inside of other operations' loops, in vectors.

use super::activation::sigmoid;
use super::simd::{MAX_LANES, Simd};

/// A function of one value.
pub(super) trait Curve {
    /// `f(x)`.
    ///
    /// # Safety
    /// [`Simd`]'s.
    unsafe fn value<S: Simd>(x: S::Vector) -> S::Vector;

    /// `f'(x) dy` where `y = f(x)`.
    ///
    /// # Safety
    /// [`Simd`]'s.
    unsafe fn gradient_at<S: Simd>(y: S::Vector, dy: S::Vector) -> S::Vector;

    /// `f'(x) dy`.
    ///
    /// # Safety
    /// [`Simd`]'s.
    #[inline(always)]
    unsafe fn gradient<S: Simd>(x: S::Vector, dy: S::Vector) -> S::Vector {
        // SAFETY: the caller's.
        unsafe { Self::gradient_at::<S>(Self::value::<S>(x), dy) }
    }
}

pub(super) struct Identity;
pub(super) struct Relu;
pub(super) struct Tanh;
pub(super) struct Sigmoid;

/// Evaluates the body with `F` as the [`Curve`] of an activation, the identity for `None`; the body
/// is compiled once for each, so that its loops stay free of the choice.
macro_rules! with_curve {
    ($activation:expr, $curve:ident => $body:expr) => {
        match $activation {
            None => {
                type $curve = $crate::cpu::curve::Identity;
                $body
            }
            Some($crate::ops::Activation::Relu) => {
                type $curve = $crate::cpu::curve::Relu;
                $body
            }
            Some($crate::ops::Activation::Tanh) => {
                type $curve = $crate::cpu::curve::Tanh;
                $body
            }
            Some($crate::ops::Activation::Sigmoid) => {
                type $curve = $crate::cpu::curve::Sigmoid;
                $body
            }
        }
    };
}
pub(super) use with_curve;

impl Curve for Identity {
    #[inline(always)]
    unsafe fn value<S: Simd>(x: S::Vector) -> S::Vector {
        x
    }

    #[inline(always)]
    unsafe fn gradient_at<S: Simd>(_: S::Vector, dy: S::Vector) -> S::Vector {
        dy
    }
}

// SAFETY of every block below: the caller's.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Curve for Relu {
    #[inline(always)]
    unsafe fn value<S: Simd>(x: S::Vector) -> S::Vector {
        unsafe { S::relu(x) }
    }

    #[inline(always)]
    unsafe fn gradient_at<S: Simd>(y: S::Vector, dy: S::Vector) -> S::Vector {
        unsafe { S::where_positive(y, dy) }
    }
}

#[allow(clippy::undocumented_unsafe_blocks)]
impl Curve for Tanh {
    #[inline(always)]
    unsafe fn value<S: Simd>(x: S::Vector) -> S::Vector {
        unsafe { map::<S>(x, f32::tanh) }
    }

    #[inline(always)]
    unsafe fn gradient_at<S: Simd>(y: S::Vector, dy: S::Vector) -> S::Vector {
        unsafe { S::mul(S::sub(S::splat(1.0), S::mul(y, y)), dy) }
    }
}

#[allow(clippy::undocumented_unsafe_blocks)]
impl Curve for Sigmoid {
    #[inline(always)]
    unsafe fn value<S: Simd>(x: S::Vector) -> S::Vector {
        unsafe { map::<S>(x, sigmoid) }
    }

    #[inline(always)]
    unsafe fn gradient_at<S: Simd>(y: S::Vector, dy: S::Vector) -> S::Vector {
        unsafe { S::mul(S::mul(y, S::sub(S::splat(1.0), y)), dy) }
    }
}

/// A function of each lane.
///
/// # Safety
/// [`Simd`]'s.
#[inline(always)]
unsafe fn map<S: Simd>(v: S::Vector, f: fn(f32) -> f32) -> S::Vector {
    let mut values = [0.0f32; MAX_LANES];
    // SAFETY: the array has room for the widest vector.
    unsafe { S::store(values.as_mut_ptr(), v) };
    for value in &mut values[..S::LANES] {
        *value = f(*value);
    }
    // SAFETY: as above.
    unsafe { S::load(values.as_ptr()) }
}
