//! Vectors of `f32`, one type an instruction set, and the way to run code compiled for one.
//!
//! Code of a hot path is written once, generic over [`Arithmetic`], and `#[inline(always)]` down
//! to the intrinsics. [`Engine::run`] instantiates it inside a function that carries the
//! instruction set's `#[target_feature]`, so that all of it, loops that the compiler vectorises
//! included, is compiled for that set: no `RUSTFLAGS` are asked of anybody.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

#[cfg(test)]
pub(crate) use portable::Portable;

use half::bf16;

use super::Isa;
use super::kernel::{Output, Product};
use crate::{DType, Float};

/// A vector of `f32`.
///
/// # Safety
/// Every method may only run on a processor that has the instruction set. Pointers must be valid
/// for the lanes that a method's name or its argument `lanes`, at most [`Simd::LANES`], says; they
/// need no alignment.
pub(crate) trait Simd: Copy {
    /// The register.
    type Vector: Copy;
    /// Values in a register.
    const LANES: usize;

    unsafe fn splat(value: f32) -> Self::Vector;
    unsafe fn load(from: *const f32) -> Self::Vector;
    unsafe fn store(to: *mut f32, v: Self::Vector);
    unsafe fn load_partial(from: *const f32, lanes: usize) -> Self::Vector;
    unsafe fn store_partial(to: *mut f32, v: Self::Vector, lanes: usize);
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn sub(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn mul(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn div(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once where the processor can.
    unsafe fn fma(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The larger of `v` and 0; NaN stays NaN, so that a diverged child cannot look sound.
    unsafe fn relu(v: Self::Vector) -> Self::Vector;
    /// `v` where `mask > 0`, else 0.
    unsafe fn where_positive(mask: Self::Vector, v: Self::Vector) -> Self::Vector;
    /// `v` where `a == b`, else 0.
    unsafe fn where_equal(a: Self::Vector, b: Self::Vector, v: Self::Vector) -> Self::Vector;
    /// `yes` where `a > b`, or `a` is NaN and `b` is not, else `no`; `operands` are `a` and `b`.
    unsafe fn where_greater(
        operands: [Self::Vector; 2],
        yes: Self::Vector,
        no: Self::Vector,
    ) -> Self::Vector;

    /// Loads values of any float type.
    #[inline(always)]
    unsafe fn load_as<T: Float>(from: *const T, lanes: usize) -> Self::Vector {
        // SAFETY: the caller's promise covers `lanes` values of `T` at `from`; `T` is `f32` in the
        // first branch, and the second stays within its own array.
        unsafe {
            if T::DTYPE == DType::F32 {
                return match lanes == Self::LANES {
                    true => Self::load(from.cast()),
                    false => Self::load_partial(from.cast(), lanes),
                };
            }
            let mut widened = [0.0f32; MAX_LANES];
            for (lane, to) in widened.iter_mut().enumerate().take(lanes) {
                *to = from.add(lane).read().to_f32();
            }
            Self::load(widened.as_ptr())
        }
    }

    /// Stores values rounded to any float type.
    #[inline(always)]
    unsafe fn store_as<T: Float>(to: *mut T, v: Self::Vector, lanes: usize) {
        // SAFETY: as for `load_as`.
        unsafe {
            if T::DTYPE == DType::F32 {
                return match lanes == Self::LANES {
                    true => Self::store(to.cast(), v),
                    false => Self::store_partial(to.cast(), v, lanes),
                };
            }
            let mut wide = [0.0f32; MAX_LANES];
            Self::store(wide.as_mut_ptr(), v);
            for (lane, value) in wide.iter().enumerate().take(lanes) {
                to.add(lane).write(T::from_f32(*value));
            }
        }
    }

    /// Stores words of two bf16 each, `low` in the lower half.
    #[inline(always)]
    unsafe fn store_pairs(to: *mut f32, low: Self::Vector, high: Self::Vector) {
        // SAFETY: the caller's promise covers a vector of words at `to`.
        unsafe {
            let [mut lows, mut highs] = [[0.0f32; MAX_LANES]; 2];
            Self::store(lows.as_mut_ptr(), low);
            Self::store(highs.as_mut_ptr(), high);
            for (lane, (low, high)) in lows.iter().zip(&highs).enumerate().take(Self::LANES) {
                let [low, high] = [low, high].map(|x| u32::from(bf16::from_f32(*x).to_bits()));
                to.add(lane).cast::<u32>().write_unaligned(low | high << 16);
            }
        }
    }
}

/// The widest vectors of any instruction set.
pub(crate) const MAX_LANES: usize = 16;

/// A way to multiply and accumulate 32-bit words: an `f32` each, or a pair of bf16 whose two
/// products are both added.
///
/// # Safety
/// As for [`Simd`].
pub(crate) trait Arithmetic: 'static {
    /// The vectors it works on.
    type S: Simd;

    /// Single-precision words on the same vectors.
    type Single: Arithmetic<S = Self::S>;

    /// `acc + a b`, lane by lane.
    unsafe fn multiply_add(
        acc: <Self::S as Simd>::Vector,
        a: <Self::S as Simd>::Vector,
        b: <Self::S as Simd>::Vector,
    ) -> <Self::S as Simd>::Vector;

    /// Computes a whole product with register tiles that fit the instruction set.
    unsafe fn multiply<O: Output>(product: &Product<'_>, output: &O);
}

/// Single-precision words on the vectors `S`.
pub(crate) struct Singles<S>(std::marker::PhantomData<S>);

/// Code to be compiled for an instruction set; `run` must be `#[inline(always)]`.
pub(crate) trait Task {
    fn run<M: Arithmetic>(self);
}

/// An instruction set that was detected, and the words it is used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx512Pairs,
}

impl Engine {
    /// The engine for operands of a dtype. bf16 operands are multiplied as pairs where the
    /// processor can, and are widened to `f32` elsewhere.
    pub(crate) fn new(isa: Isa, dtype: DType) -> Engine {
        match isa {
            Isa::Portable => Engine::Portable,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Engine::Avx2,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 if dtype == DType::BF16 => Engine::Avx512Pairs,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Avx512Bf16 => Engine::Avx512,
            #[cfg(not(target_arch = "x86_64"))]
            _ => {
                let _ = dtype;
                Engine::Portable
            }
        }
    }

    /// Values in a vector.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Engine::Portable => portable::Portable::LANES,
            #[cfg(target_arch = "x86_64")]
            Engine::Avx2 => avx2::Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512 | Engine::Avx512Pairs => avx512::Avx512::LANES,
        }
    }

    /// Whether a word holds two bf16.
    pub(crate) fn paired(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self == Engine::Avx512Pairs;
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// Runs a task compiled for this engine.
    #[inline]
    pub(crate) fn run<K: Task>(self, task: K) {
        match self {
            Engine::Portable => task.run::<Singles<portable::Portable>>(),
            // SAFETY: an engine is made of an `Isa` that `Cpu::with_isa` or `Isa::best` found on
            // this processor.
            #[cfg(target_arch = "x86_64")]
            Engine::Avx2 => unsafe { avx2::run(task) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512 => unsafe { avx512::run(task) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512Pairs => unsafe { avx512::run_pairs(task) },
        }
    }
}
