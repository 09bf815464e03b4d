use nasrl_tensor::DType;

/// How far a result may lie from its reference: `absolute + relative * |reference|`.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// The part that does not depend on the reference.
    pub absolute: f64,
    /// The part that grows with the reference.
    pub relative: f64,
}

impl Tolerance {
    /// One operation and its rounding to the dtype: 4 units in the last place.
    pub fn rounding(dtype: DType) -> Self {
        let unit = unit_roundoff(dtype);
        Tolerance { absolute: 4.0 * unit, relative: 4.0 * unit }
    }

    /// A sum of `terms` products of values in [-1, 1], accumulated in f32 and rounded to the dtype
    /// at the end: errors of a random walk, with a factor of 8 for the tails.
    pub fn sum(dtype: DType, terms: usize) -> Self {
        let walk = 8.0 * unit_roundoff(DType::F32) * (terms as f64).sqrt().max(1.0);
        Tolerance { absolute: walk, relative: 2.0 * unit_roundoff(dtype) }
    }

    /// Central differences in f64 with a step of 1e-5 against a gradient computed in f32.
    pub const FINITE_DIFFERENCE: Tolerance = Tolerance { absolute: 2e-5, relative: 2e-5 };
}

/// Panics with the index and both values unless every value lies within the tolerance.
#[track_caller]
pub fn assert_close(what: &str, found: &[f32], expected: &[f64], tolerance: Tolerance) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let bound = tolerance.absolute + tolerance.relative * expected.abs();
        let error = (f64::from(found) - expected).abs();
        assert!(
            error <= bound,
            "{what}: index {index}: found {found:e}, expected {expected:e}, \
             error {error:.3e} above {bound:.3e}"
        );
    }
}

/// Panics with the index and both values unless every value is the reference exactly.
#[track_caller]
pub fn assert_equal(what: &str, found: &[f32], expected: &[f64]) {
    assert_close(what, found, expected, Tolerance { absolute: 0.0, relative: 0.0 });
}

/// Half the distance from 1 to the next value.
fn unit_roundoff(dtype: DType) -> f64 {
    match dtype {
        DType::F32 => f64::powi(2.0, -24),
        DType::F16 => f64::powi(2.0, -11),
        DType::BF16 => f64::powi(2.0, -8),
        DType::U8 | DType::U32 => 0.0,
    }
}
