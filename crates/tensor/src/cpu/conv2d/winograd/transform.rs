//! The one-dimensional transforms of F(4, 3), four outputs of a filter of three taps by six
//! products, at the points 0, 1, -1, 2, -2 and infinity.
//!
//! ```text
//! y = A^T (G w * B^T d)
//!
//!       4  0 -5  0  1  0          1/4    0    0
//!       0 -4 -4  1  1  0         -1/6 -1/6 -1/6        1  1  1  1  1  0
//! B^T = 0  4 -4 -1  1  0     G = -1/6  1/6 -1/6  A^T = 0  1 -1  2 -2  0
//!       0 -2 -1  2  1  0         1/24 1/12  1/6        0  1  1  4  4  0
//!       0  2 -1 -2  1  0        1/24 -1/12  1/6        0  1 -1  8 -8  1
//!       0  4  0 -5  0  1            0    0    1
//! ```
//!
//! Lavin and Gray 2016, arXiv 1509.09308, section 4.3.

use crate::cpu::simd::Simd;

/// Outputs of a tile in a dimension.
pub(super) const TILE: usize = 4;

/// Products of a tile in a dimension, and inputs of it.
pub(super) const POINTS: usize = 6;

/// Taps of a filter in a dimension.
pub(super) const TAPS: usize = 3;

/// `B^T d`.
///
/// # Safety
/// [`Simd`]'s, as for all of these.
#[inline(always)]
pub(super) unsafe fn input<S: Simd>(d: [S::Vector; POINTS]) -> [S::Vector; POINTS] {
    // SAFETY: the caller's.
    unsafe {
        let (near, far) = (times::<S>(-4.0, d[2], d[4]), times::<S>(-4.0, d[1], d[3]));
        let (even, odd) = (S::sub(d[4], d[2]), S::sub(d[3], d[1]));
        [
            times::<S>(4.0, d[0], times::<S>(-5.0, d[2], d[4])),
            S::add(near, far),
            S::sub(near, far),
            times::<S>(2.0, odd, even),
            times::<S>(-2.0, odd, even),
            times::<S>(4.0, d[1], times::<S>(-5.0, d[3], d[5])),
        ]
    }
}

/// `A^T m`.
///
/// # Safety
/// As above.
#[inline(always)]
pub(super) unsafe fn output<S: Simd>(m: [S::Vector; POINTS]) -> [S::Vector; TILE] {
    // SAFETY: the caller's.
    unsafe {
        let (sum1, difference1) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (sum2, difference2) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
        [
            S::add(S::add(m[0], sum1), sum2),
            times::<S>(2.0, difference2, difference1),
            times::<S>(4.0, sum2, sum1),
            S::add(times::<S>(8.0, difference2, difference1), m[5]),
        ]
    }
}

/// `A y`.
///
/// # Safety
/// As above.
#[inline(always)]
pub(super) unsafe fn output_gradient<S: Simd>(y: [S::Vector; TILE]) -> [S::Vector; POINTS] {
    // SAFETY: the caller's.
    unsafe {
        let (even, odd) = (S::add(y[0], y[2]), S::add(y[1], y[3]));
        let (even2, odd2) = (times::<S>(4.0, y[2], y[0]), times::<S>(4.0, y[3], y[1]));
        [
            y[0],
            S::add(even, odd),
            S::sub(even, odd),
            times::<S>(2.0, odd2, even2),
            times::<S>(-2.0, odd2, even2),
            y[3],
        ]
    }
}

/// `G w`.
///
/// # Safety
/// As above.
#[inline(always)]
pub(super) unsafe fn filter<S: Simd>(w: [S::Vector; TAPS]) -> [S::Vector; POINTS] {
    // SAFETY: the caller's.
    unsafe {
        let zero = S::splat(0.0);
        let (even, odd) = (times::<S>(-1.0 / 6.0, S::add(w[0], w[2]), zero), w[1]);
        let even2 = times::<S>(1.0 / 24.0, w[0], times::<S>(1.0 / 6.0, w[2], zero));
        [
            times::<S>(0.25, w[0], zero),
            times::<S>(-1.0 / 6.0, odd, even),
            times::<S>(1.0 / 6.0, odd, even),
            times::<S>(1.0 / 12.0, odd, even2),
            times::<S>(-1.0 / 12.0, odd, even2),
            w[2],
        ]
    }
}

/// `G^T u`.
///
/// # Safety
/// As above.
#[inline(always)]
pub(super) unsafe fn filter_gradient<S: Simd>(u: [S::Vector; POINTS]) -> [S::Vector; TAPS] {
    // SAFETY: the caller's.
    unsafe {
        let (sum1, difference1) = (S::add(u[1], u[2]), S::sub(u[2], u[1]));
        let (sum2, difference2) = (S::add(u[3], u[4]), S::sub(u[3], u[4]));
        let zero = S::splat(0.0);
        let outer = times::<S>(-1.0 / 6.0, sum1, zero);
        [
            times::<S>(0.25, u[0], times::<S>(1.0 / 24.0, sum2, outer)),
            times::<S>(1.0 / 6.0, difference1, times::<S>(1.0 / 12.0, difference2, zero)),
            times::<S>(1.0 / 6.0, sum2, S::add(outer, u[5])),
        ]
    }
}

/// `by a + b`; no closure, which would be compiled for the baseline instruction set.
#[inline(always)]
unsafe fn times<S: Simd>(by: f32, a: S::Vector, b: S::Vector) -> S::Vector {
    // SAFETY: the caller's.
    unsafe { S::fma(S::splat(by), a, b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::Portable;

    const B: [[f32; 6]; 6] = [
        [4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
        [0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
        [0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
        [0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
        [0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
        [0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
    ];
    const A: [[f32; 6]; 4] = [
        [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
        [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
        [0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
    ];
    /// 24 `G`.
    const G24: [[f32; 3]; 6] = [
        [6.0, 0.0, 0.0],
        [-4.0, -4.0, -4.0],
        [-4.0, 4.0, -4.0],
        [1.0, 2.0, 4.0],
        [1.0, -2.0, 4.0],
        [0.0, 0.0, 24.0],
    ];

    fn unit<const N: usize>(index: usize, value: f32) -> [[f32; 8]; N] {
        std::array::from_fn(|i| [if i == index { value } else { 0.0 }; 8])
    }

    #[test]
    fn transforms_are_products_with_their_matrices() {
        // SAFETY: the portable vectors run anywhere.
        unsafe {
            for (i, of_unit) in (0..6).map(|i| (i, unit::<6>(i, 1.0))) {
                assert_eq!(input::<Portable>(of_unit).map(|v| v[0]), B.map(|row| row[i]));
                assert_eq!(output::<Portable>(of_unit).map(|v| v[0]), A.map(|row| row[i]));
                let found = filter_gradient::<Portable>(unit(i, 24.0)).map(|v| v[0].round());
                assert_eq!(found, G24[i]);
            }
            for i in 0..4 {
                assert_eq!(output_gradient::<Portable>(unit(i, 1.0)).map(|v| v[0]), A[i]);
            }
            for i in 0..3 {
                let found = filter::<Portable>(unit(i, 24.0)).map(|v| v[0].round());
                assert_eq!(found, G24.map(|row| row[i]));
            }
        }
    }
}
