//! The exponential and its relatives without branches, calls or table look-ups, so that loops over
//! them vectorise; a call of the system's takes as long as sixteen lanes of these.

/// `exp(x)`, off by less than 3e-7 of itself, for `x` clamped to [-87, 88], where neither it nor
/// its reciprocal leaves the normal numbers; NaN stays NaN.
///
/// `exp(x) = 2^n exp(r)` with `n` the integer nearest to `x / ln 2`, and a polynomial of degree 6
/// for `|r| <= ln 2 / 2`. `ln 2` is taken off in two parts, the first short enough for its product
/// with `n` to be exact (Cody and Waite 1980, "Software manual for the elementary functions").
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // 1.5 * 2^23: adding it leaves the integer in the lower bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_UPPER: f32 = 0.693_359_4;
    const LN_2_LOWER: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2_UPPER - n * LN_2_LOWER;
    let p = 1.0
        + r * (1.0
            + r * (0.5
                + r * (0.166_666_65
                    + r * (0.041_665_795 + r * (8.333_452e-3 + r * 1.398_199_9e-3)))));
    f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits())) * p
}

/// `1 / (1 + exp(-x))`, off by less than 5e-7 of itself down to `x = -87`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `tanh(x) = 1 - 2 / (1 + exp(2 x))`, off by less than 2e-7: an absolute error, that of numbers
/// near 1, also where `x` is small.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp(2.0 * x))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every 1/4096 from -100 to 100.
    fn points() -> impl Iterator<Item = f32> {
        (-409_600..=409_600).map(|i| i as f32 / 4096.0)
    }

    #[test]
    fn errors_are_as_stated() {
        for x in points() {
            let wide = f64::from(x);
            let relative =
                |found: f32, true_value: f64| (f64::from(found) / true_value - 1.0).abs();
            if (-87.0..=88.0).contains(&x) {
                assert!(relative(exp(x), wide.exp()) < 3e-7, "exp({x})");
            }
            if x >= -87.0 {
                assert!(relative(sigmoid(x), 1.0 / (1.0 + (-wide).exp())) < 5e-7, "sigmoid({x})");
            }
            assert!((f64::from(tanh(x)) - wide.tanh()).abs() < 2e-7, "tanh({x})");
        }
    }

    #[test]
    fn extremes_are_finite_and_nan_stays() {
        assert_eq!(exp(0.0), 1.0);
        for x in [f32::MIN, f32::NEG_INFINITY, f32::MAX, f32::INFINITY] {
            assert!(exp(x).is_normal(), "exp({x})");
            assert_eq!(tanh(x), x.signum());
            assert!((0.0..=1.0).contains(&sigmoid(x)));
        }
        assert!([exp, sigmoid, tanh].iter().all(|f| f(f32::NAN).is_nan()));
    }
}
