//! The one micro-kernel of convolutions and matrix products.
//!
//! It computes `c[i, j] = sum_k a[i, k] b[k, j]` for a table of rows: row `i` starts at a byte
//! offset of its own, and the sum's index runs through a list of runs. A convolution of any
//! filter, stride, dilation and padding is such a product over an image with its border: rows are
//! pixels, runs are filter taps. A tile of `MR` rows by `NR` vectors stays in registers for the
//! whole sum; each step loads `NR` vectors of `b`, broadcasts `MR` words of `a`, and does
//! `MR * NR` multiply-additions.

use super::simd::{Arithmetic, Simd};

/// Bytes of a word.
pub(crate) const WORD: usize = 4;

/// Operands of a product, in 32-bit words.
///
/// # Safety
/// What [`multiply_tiles`] reads must be there: for every row `i`, run `r` and `k < r.len`, one
/// word at byte `rows[i] + r.a + k * a_step` of `a`, and `n` rounded up to whole vectors of words
/// at word `r.b + k * b_pitch` of `b`.
pub(crate) struct Product<'a> {
    /// The operand that is broadcast.
    pub(crate) a: *const u8,
    /// Where each row starts, in bytes.
    pub(crate) rows: &'a [u32],
    /// Bytes between the words of neighbouring `k` in a row.
    pub(crate) a_step: usize,
    /// The operand that is read by vectors.
    pub(crate) b: *const f32,
    /// Words between neighbouring `k`.
    pub(crate) b_pitch: usize,
    /// The pieces of the sum.
    pub(crate) runs: &'a [Run],
    /// Columns of the result.
    pub(crate) n: usize,
}

/// A piece of a sum whose operands lie at regular distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where it starts in `a`, in bytes after the row's start.
    pub(crate) a: u32,
    /// Where it starts in `b`, in words.
    pub(crate) b: u32,
    /// How many words, at least 1.
    pub(crate) len: u32,
}

/// Where the sums of a product go.
///
/// # Safety
/// As for [`Simd`]; `column + lanes` is at most the product's `n`.
pub(crate) trait Output {
    /// What the sums of a vector of columns start from.
    unsafe fn initial<S: Simd>(&self, column: usize, lanes: usize) -> S::Vector;

    /// Takes the sums of a row.
    unsafe fn store<S: Simd>(&self, row: usize, column: usize, sums: S::Vector, lanes: usize);
}

/// Cuts the columns of a product into panels of equally many vectors, at most the first number of
/// the list, and computes each panel with the tile height that stands beside its vectors.
macro_rules! panels {
    ($M:ty, $product:expr, $output:expr, { $most:literal: $most_rows:literal
        $(, $vectors:literal: $rows:literal)* }) => {{
        let lanes = <<$M as $crate::cpu::simd::Arithmetic>::S as $crate::cpu::simd::Simd>::LANES;
        let total = $product.n.div_ceil(lanes);
        let width = total.div_ceil(total.div_ceil($most).max(1));
        let mut vector = 0;
        while vector < total {
            let column = vector * lanes;
            match width.min(total - vector) {
                $($vectors => $crate::cpu::kernel::multiply_tiles::<$M, _, $rows, $vectors>(
                    $product, column, $output),)*
                _ => $crate::cpu::kernel::multiply_tiles::<$M, _, $most_rows, $most>(
                    $product, column, $output),
            }
            vector += width;
        }
    }};
}
pub(crate) use panels;

/// Computes all rows of `NR` vectors of columns from `column` on, `MR` rows at a time. Rows past
/// the last are computed as copies of it and not stored.
///
/// # Safety
/// [`Product`]'s and [`Output`]'s contracts, and the processor has `M`'s instruction set.
#[inline(always)]
pub(crate) unsafe fn multiply_tiles<M: Arithmetic, O: Output, const MR: usize, const NR: usize>(
    product: &Product<'_>,
    column: usize,
    output: &O,
) {
    let lanes = M::S::LANES;
    let rows = product.rows.len();
    // Loops in place of closures: a closure would be compiled for the baseline instruction set.
    let mut valid = [lanes; NR];
    valid[NR - 1] = lanes.min(product.n - column - (NR - 1) * lanes);
    let mut row = 0;
    while row < rows {
        // SAFETY: the caller's promise; rows and columns are those of the product.
        unsafe {
            let mut initial = [M::S::splat(0.0); NR];
            for (j, initial) in initial.iter_mut().enumerate() {
                *initial = output.initial::<M::S>(column + j * lanes, valid[j]);
            }
            let sums = accumulate::<M, MR, NR>(product, [row, column], &initial);
            // In memory, since this loop is not unrolled: the constants of an epilogue that was,
            // roundings to bf16 say, took registers from the sums in all of the loop over `k`.
            for (i, sums) in sums.iter().enumerate().take(rows - row) {
                for (j, sums) in sums.iter().enumerate() {
                    output.store::<M::S>(row + i, column + j * lanes, *sums, valid[j]);
                }
            }
        }
        row += MR;
    }
}

/// The sums of `MR` rows from `row` on and of `NR` vectors of columns from `column` on, which start
/// at `initial`.
///
/// # Safety
/// As for [`multiply_tiles`].
#[inline(always)]
unsafe fn accumulate<M: Arithmetic, const MR: usize, const NR: usize>(
    product: &Product<'_>,
    [row, column]: [usize; 2],
    initial: &[<M::S as Simd>::Vector; NR],
) -> [[<M::S as Simd>::Vector; NR]; MR] {
    let last = product.rows.len() - 1;
    // SAFETY: rows are clamped to the table; the pointers stay within what the contracts promise.
    unsafe {
        let mut a = [product.a; MR];
        for (i, a) in a.iter_mut().enumerate() {
            *a = a.add(*product.rows.get_unchecked((row + i).min(last)) as usize);
        }
        // Every index of `sums` is a constant once the loops are unrolled; one that was not would
        // put the sums into memory.
        let mut sums = [*initial; MR];
        for run in product.runs {
            let mut offset = run.a as usize;
            let mut b = product.b.add(run.b as usize + column);
            let mut left = run.len;
            // Tested at its end: with a way around the loop the compiler keeps copies of the sums
            // for it, and moves registers about in every turn.
            loop {
                let mut vectors = [M::S::splat(0.0); NR];
                for (j, vector) in vectors.iter_mut().enumerate() {
                    *vector = M::S::load(b.add(j * M::S::LANES));
                }
                for i in 0..MR {
                    let word = M::S::splat(a[i].add(offset).cast::<f32>().read_unaligned());
                    for j in 0..NR {
                        sums[i][j] = M::multiply_add(sums[i][j], word, vectors[j]);
                    }
                }
                offset += product.a_step;
                b = b.add(product.b_pitch);
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
        sums
    }
}
