use std::arch::x86_64::*;

use super::{Arithmetic, Simd, Singles, Task};
use crate::cpu::kernel::{Output, Product, panels};
use crate::{DType, Float};

/// AVX-512 F, BW, DQ and VL: 16 lanes, 32 registers.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

/// Pairs of bf16, multiplied and added by `vdpbf16ps`.
pub(crate) struct Pairs;

/// Runs a task compiled for AVX-512.
///
/// # Safety
/// The processor must have what [`crate::cpu::Isa::Avx512`] names.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) unsafe fn run<K: Task>(task: K) {
    task.run::<Singles<Avx512>>();
}

/// Runs a task on pairs of bf16, compiled for AVX-512 with its bf16 dot product.
///
/// # Safety
/// The processor must have what [`crate::cpu::Isa::Avx512Bf16`] names.
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) unsafe fn run_pairs<K: Task>(task: K) {
    task.run::<Pairs>();
}

/// The first `lanes` of 16 lanes.
#[inline(always)]
fn first(lanes: usize) -> __mmask16 {
    ((1u32 << lanes) - 1) as __mmask16
}

// SAFETY of every block below: the trait's contract gives the instruction set and makes the
// pointers valid for the lanes used.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Simd for Avx512 {
    type Vector = __m512;
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: __m512) {
        unsafe { _mm512_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn load_partial(from: *const f32, lanes: usize) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(first(lanes), from) }
    }

    #[inline(always)]
    unsafe fn store_partial(to: *mut f32, v: __m512, lanes: usize) {
        unsafe { _mm512_mask_storeu_ps(to, first(lanes), v) }
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn relu(v: __m512) -> __m512 {
        unsafe { _mm512_max_ps(_mm512_setzero_ps(), v) }
    }

    #[inline(always)]
    unsafe fn where_positive(mask: __m512, v: __m512) -> __m512 {
        unsafe {
            let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(mask, _mm512_setzero_ps());
            _mm512_maskz_mov_ps(positive, v)
        }
    }

    #[inline(always)]
    unsafe fn where_equal(a: __m512, b: __m512, v: __m512) -> __m512 {
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b), v) }
    }

    #[inline(always)]
    unsafe fn where_greater([a, b]: [__m512; 2], yes: __m512, no: __m512) -> __m512 {
        unsafe {
            let number = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(b, b);
            let greater = _mm512_mask_cmp_ps_mask::<_CMP_NLE_UQ>(number, a, b);
            _mm512_mask_mov_ps(no, greater, yes)
        }
    }

    #[inline(always)]
    unsafe fn load_as<T: Float>(from: *const T, lanes: usize) -> __m512 {
        unsafe {
            match T::DTYPE {
                DType::BF16 => {
                    let halves = _mm256_maskz_loadu_epi16(first(lanes), from.cast());
                    let words = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(halves));
                    _mm512_castsi512_ps(words)
                }
                DType::F16 => _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(lanes), from.cast())),
                _ => _mm512_maskz_loadu_ps(first(lanes), from.cast()),
            }
        }
    }

    #[inline(always)]
    unsafe fn store_as<T: Float>(to: *mut T, v: __m512, lanes: usize) {
        unsafe {
            match T::DTYPE {
                DType::BF16 => {
                    _mm256_mask_storeu_epi16(to.cast(), first(lanes), round_to_bf16(v));
                }
                DType::F16 => {
                    let halves = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v);
                    _mm256_mask_storeu_epi16(to.cast(), first(lanes), halves);
                }
                _ => _mm512_mask_storeu_ps(to.cast(), first(lanes), v),
            }
        }
    }

    #[inline(always)]
    unsafe fn store_pairs(to: *mut f32, low: __m512, high: __m512) {
        unsafe {
            let low = _mm512_cvtepu16_epi32(round_to_bf16(low));
            let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(round_to_bf16(high)));
            _mm512_storeu_si512(to.cast(), _mm512_or_si512(low, high));
        }
    }
}

/// Nearest even, NaN kept: the integer form, so that the bits are those of `half` on every path.
#[inline(always)]
unsafe fn round_to_bf16(v: __m512) -> __m256i {
    // SAFETY: called where AVX-512 is enabled.
    unsafe {
        let bits = _mm512_castps_si512(v);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounding = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
        let rounded = _mm512_srli_epi32::<16>(_mm512_add_epi32(bits, rounding));
        let quiet = _mm512_or_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(0x40));
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
        _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(rounded, nan, quiet))
    }
}

impl Arithmetic for Singles<Avx512> {
    type S = Avx512;
    type Single = Self;

    #[inline(always)]
    unsafe fn multiply_add(acc: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller has the instruction set.
        unsafe { _mm512_fmadd_ps(a, b, acc) }
    }

    #[inline(always)]
    unsafe fn multiply<O: Output>(product: &Product<'_>, output: &O) {
        // SAFETY: the caller's promise about the product and the output.
        unsafe { panels!(Self, product, output, { 4: 6, 3: 8, 2: 12, 1: 16 }) }
    }
}

impl Arithmetic for Pairs {
    type S = Avx512;
    type Single = Singles<Avx512>;

    #[inline(always)]
    unsafe fn multiply_add(acc: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller has the instruction set; the casts keep the bits.
        unsafe {
            use std::mem::transmute;
            _mm512_dpbf16_ps(
                acc,
                transmute::<__m512, __m512bh>(a),
                transmute::<__m512, __m512bh>(b),
            )
        }
    }

    #[inline(always)]
    unsafe fn multiply<O: Output>(product: &Product<'_>, output: &O) {
        // SAFETY: the caller's promise about the product and the output.
        unsafe { panels!(Self, product, output, { 4: 6, 3: 8, 2: 12, 1: 16 }) }
    }
}
