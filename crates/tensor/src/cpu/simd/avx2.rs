use std::arch::x86_64::*;

use super::{Arithmetic, Simd, Singles, Task};
use crate::cpu::kernel::{Output, Product, panels};

/// AVX2 and FMA: 8 lanes, 16 registers.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

/// Runs a task compiled for AVX2 and FMA.
///
/// # Safety
/// The processor must have both.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn run<K: Task>(task: K) {
    task.run::<Singles<Avx2>>();
}

/// All ones in the first `lanes` lanes.
#[inline(always)]
unsafe fn first(lanes: usize) -> __m256i {
    const ONES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: `lanes` is at most 8, so that eight values from `8 - lanes` on are in the array.
    unsafe { _mm256_loadu_si256(ONES.as_ptr().add(8 - lanes).cast()) }
}

// SAFETY of every block below: the trait's contract gives the instruction set and makes the
// pointers valid for the lanes used.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Avx2 {
    type Vector = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: __m256) {
        unsafe { _mm256_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn load_partial(from: *const f32, lanes: usize) -> __m256 {
        unsafe { _mm256_maskload_ps(from, first(lanes)) }
    }

    #[inline(always)]
    unsafe fn store_partial(to: *mut f32, v: __m256, lanes: usize) {
        unsafe { _mm256_maskstore_ps(to, first(lanes), v) }
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn div(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn relu(v: __m256) -> __m256 {
        unsafe { _mm256_max_ps(_mm256_setzero_ps(), v) }
    }

    #[inline(always)]
    unsafe fn where_positive(mask: __m256, v: __m256) -> __m256 {
        unsafe { _mm256_and_ps(v, _mm256_cmp_ps::<_CMP_GT_OQ>(mask, _mm256_setzero_ps())) }
    }

    #[inline(always)]
    unsafe fn where_equal(a: __m256, b: __m256, v: __m256) -> __m256 {
        unsafe { _mm256_and_ps(v, _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b)) }
    }

    #[inline(always)]
    unsafe fn where_greater([a, b]: [__m256; 2], yes: __m256, no: __m256) -> __m256 {
        unsafe {
            let or_nan = _mm256_cmp_ps::<_CMP_NLE_UQ>(a, b);
            let greater = _mm256_and_ps(or_nan, _mm256_cmp_ps::<_CMP_ORD_Q>(b, b));
            _mm256_blendv_ps(no, yes, greater)
        }
    }
}

impl Arithmetic for Singles<Avx2> {
    type S = Avx2;
    type Single = Self;

    #[inline(always)]
    unsafe fn multiply_add(acc: __m256, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller has the instruction set.
        unsafe { _mm256_fmadd_ps(a, b, acc) }
    }

    #[inline(always)]
    unsafe fn multiply<O: Output>(product: &Product<'_>, output: &O) {
        // SAFETY: the caller's promise about the product and the output.
        unsafe { panels!(Self, product, output, { 2: 6, 1: 12 }) }
    }
}
