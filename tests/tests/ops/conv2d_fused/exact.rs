//! Small integers, of which nothing is rounded but what is stored.

use nasrl_tensor::ops::Sum;
use nasrl_tensor::{DType, Memory};
use nasrl_tests::{FLOATS, Inputs, assert_equal};

use super::passes::{Bench, Found, added, fused};
use super::statistics::{check_moments, sums_of};
use super::{Case, Operands, catalogue, norm_of, sum_of};
use crate::backends;
use crate::operations::conv2d::rounded_to;

#[test]
fn integers_are_exact() {
    for case in catalogue() {
        for images in [1, 3] {
            let mut inputs = Inputs::new(31);
            let operands = Operands::new(&case, images, |len, most| inputs.integers(len, most));
            let reference = operands.seen(&case).reference();
            for on in backends() {
                for dtype in FLOATS {
                    let found = fused(&Bench { on: &on, dtype }, &case, &operands, |f| f);
                    let what = |of: &str| {
                        let Case { geometry, segments } = &case;
                        format!(
                            "{of} {dtype} on {}, {images} of {geometry:?}, {segments:?}",
                            on.name()
                        )
                    };
                    let y = rounded_to(dtype, &reference.y);
                    assert_equal(&what("y"), &found.y, &y);
                    check_moments(&what("moments"), &found.moments, &y, case.geometry.filters);
                    check_input(&what, dtype, &found, (&case, &operands), &reference.dx);
                    let before = operands.dw.iter().map(|&before| f64::from(before));
                    let seen = operands.seen(&case);
                    let mut bias = vec![0.0; case.geometry.filters];
                    for (at, &dy) in seen.dy.iter().enumerate() {
                        bias[at % case.geometry.filters] += f64::from(dy);
                    }
                    let totals: Vec<f64> = reference.dw.iter().chain(&bias).copied().collect();
                    let sums: Vec<f64> = before.zip(&totals).map(|(a, b)| a + b).collect();
                    let both = [&found.dw[..], &found.bias].concat();
                    assert_equal(&what("dw and bias added"), &both, &sums);
                    let [dw, bias] = &found.pieces;
                    let (len, filters) = (found.dw.len(), found.bias.len());
                    let both = [added(dw, len), added(bias, filters)].concat();
                    assert_equal(&what("dw and bias in pieces"), &both, &totals);
                }
            }
        }
    }
}

/// The gradients of the segments, and the sums of those that are normalised.
fn check_input(
    what: &impl Fn(&str) -> String,
    dtype: DType,
    found: &Found,
    (case, operands): (&Case, &Operands),
    dx: &[f64],
) {
    let dx = rounded_to(dtype, dx);
    let mut first = 0;
    for (index, &channels) in case.segments.iter().enumerate() {
        let x = &operands.x[index][0];
        let expected: Vec<f64> = (0..x.len())
            .map(|at| {
                let value = dx[at / channels * case.geometry.channels + first + at % channels];
                let masked = norm_of(index).is_none() && x[at] <= 0.0;
                let value = if masked { 0.0 } else { value };
                match sum_of(index) {
                    Sum::Store => value,
                    Sum::Add => value + f64::from(operands.before[index][at]),
                }
            })
            .collect();
        let expected = rounded_to(dtype, &expected);
        assert_equal(&what("dx"), &found.dx[index], &expected);
        first += channels;
        let Some(f) = norm_of(index) else { continue };
        let sums = sums_of(channels, &operands.x[index], f, &expected);
        assert_equal(&what("sums"), &added(&found.sums[index], 2 * channels), &sums);
    }
}
