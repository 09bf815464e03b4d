use super::{Arithmetic, Simd, Singles};
use crate::cpu::kernel::{Output, Product, panels};

/// Arrays that the compiler turns into whatever vectors the target's baseline has.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

// SAFETY of every block below: the trait's contract makes the pointers valid for the lanes used.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Portable {
    type Vector = [f32; 8];
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; 8] {
        [value; 8]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 8] {
        unsafe { from.cast::<[f32; 8]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: [f32; 8]) {
        unsafe { to.cast::<[f32; 8]>().write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn load_partial(from: *const f32, lanes: usize) -> [f32; 8] {
        let mut v = [0.0; 8];
        for (lane, to) in v.iter_mut().enumerate().take(lanes) {
            *to = unsafe { from.add(lane).read() };
        }
        v
    }

    #[inline(always)]
    unsafe fn store_partial(to: *mut f32, v: [f32; 8], lanes: usize) {
        for (lane, value) in v.iter().enumerate().take(lanes) {
            unsafe { to.add(lane).write(*value) };
        }
    }

    #[inline(always)]
    unsafe fn add(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    unsafe fn sub(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    unsafe fn mul(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    unsafe fn div(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] / b[i])
    }

    #[inline(always)]
    unsafe fn fma(a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    unsafe fn relu(v: [f32; 8]) -> [f32; 8] {
        v.map(|x| if x < 0.0 { 0.0 } else { x })
    }

    #[inline(always)]
    unsafe fn where_positive(mask: [f32; 8], v: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| if mask[i] > 0.0 { v[i] } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn where_equal(a: [f32; 8], b: [f32; 8], v: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| if a[i] == b[i] { v[i] } else { 0.0 })
    }

    /// The choice is by bits: the compiler makes branches of conditions here.
    #[inline(always)]
    unsafe fn where_greater([a, b]: [[f32; 8]; 2], yes: [f32; 8], no: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| {
            let greater = (a[i] > b[i]) | (a[i].is_nan() & !b[i].is_nan());
            let mask = u32::from(greater).wrapping_neg();
            f32::from_bits((yes[i].to_bits() & mask) | (no[i].to_bits() & !mask))
        })
    }
}

impl Arithmetic for Singles<Portable> {
    type S = Portable;
    type Single = Self;

    #[inline(always)]
    unsafe fn multiply_add(acc: [f32; 8], a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        // SAFETY: plain Rust.
        unsafe { Portable::fma(a, b, acc) }
    }

    #[inline(always)]
    unsafe fn multiply<O: Output>(product: &Product<'_>, output: &O) {
        // SAFETY: the caller's promise about the product and the output.
        unsafe { panels!(Self, product, output, { 1: 6 }) }
    }
}
