//! Random filters between values that normalisations round nothing of: what is stored is a sum's error
//! away from loops in f64.

use half::bf16;
use nasrl_tensor::Memory;
use nasrl_tensor::ops::Sum;
use nasrl_tests::{FLOATS, Inputs, Tolerance, assert_close};

use super::passes::{Bench, added, fused};
use super::statistics::{check_moments, sums_of};
use super::{Case, F32, Operands, catalogue, norm_of, sum_of};
use crate::backends;

/// Values in eighths come out of a normalisation in sixty-fourths of at most 2, gradients in those
/// of at most 3: every dtype holds them, and `Tolerance::sum` is of products of at most 1.
const LARGEST: f64 = 3.0;

#[test]
fn random_values_are_within_the_error_of_their_sums() {
    // All have the bits of operations that are compared with such loops elsewhere; these have the
    // most to put together.
    let halved = |case: &Case| case.segments.iter().any(|channels| channels % 8 == 4);
    for case in catalogue().into_iter().filter(halved) {
        let g = &case.geometry;
        let mut inputs = Inputs::new(35);
        let mut operands = Operands::new(&case, 2, |len, _| {
            inputs.integers(len, 8).into_iter().map(|x| x / 8.0).collect()
        });
        operands.problem.w = inputs.uniform(operands.problem.w.len());
        operands.problem.w.iter_mut().for_each(|w| *w = bf16::from_f32(*w).to_f32());
        let reference = operands.seen(&case).reference();
        let window = g.kernel[0] * g.kernel[1];
        for on in backends() {
            for dtype in FLOATS {
                let found = fused(&Bench { on: &on, dtype }, &case, &operands, |f| f);
                let what = |of: &str| {
                    format!("{of} {dtype} on {} of {g:?}, {:?}", on.name(), case.segments)
                };
                let sum = |terms| {
                    let Tolerance { absolute, relative } = Tolerance::sum(dtype, terms);
                    Tolerance { absolute: LARGEST * absolute, relative }
                };
                let y = sum(window * g.channels);
                assert_close(&what("y"), &found.y, &reference.y, y);
                let stored: Vec<f64> = found.y.iter().copied().map(f64::from).collect();
                check_moments(&what("moments"), &found.moments, &stored, g.filters);
                let terms = Tolerance::sum(F32, found.y.len() / g.filters);
                let dw: Vec<f64> = (reference.dw.iter().zip(&operands.dw))
                    .map(|(dw, &before)| dw + f64::from(before))
                    .collect();
                let products = 2.0 * LARGEST;
                let tolerance = Tolerance { absolute: products * terms.absolute, ..terms };
                assert_close(&what("dw"), &found.dw, &dw, tolerance);
                let mut first = 0;
                for (index, &channels) in case.segments.iter().enumerate() {
                    let x = &operands.x[index][0];
                    let part = |at: usize| {
                        let dx = reference.dx[at / channels * g.channels + first + at % channels];
                        let masked = norm_of(index).is_none() && x[at] <= 0.0;
                        if masked { 0.0 } else { dx }
                    };
                    let part: Vec<f64> = (0..x.len()).map(part).collect();
                    let mut tolerance = sum(window * g.filters);
                    let mut expected = part.clone();
                    if sum_of(index) == Sum::Add {
                        // What is added to was rounded itself, and may cancel.
                        let largest = part.iter().fold(0.0, |most: f64, dx| most.max(dx.abs()));
                        tolerance.absolute += tolerance.relative * largest;
                        let before = operands.before[index].iter().copied().map(f64::from);
                        expected.iter_mut().zip(before).for_each(|(dx, before)| *dx += before);
                    }
                    assert_close(&what("dx"), &found.dx[index], &expected, tolerance);
                    first += channels;
                    let Some(f) = norm_of(index) else { continue };
                    let stored: Vec<f64> = found.dx[index].iter().copied().map(f64::from).collect();
                    let sums = sums_of(channels, &operands.x[index], f, &stored);
                    let terms = Tolerance::sum(F32, x.len() / channels);
                    let largest = stored.iter().fold(1.0, |most: f64, dx| most.max(dx.abs()));
                    // x is at most 2 away from a mean.
                    let tolerance = Tolerance { absolute: 2.0 * largest * terms.absolute, ..terms };
                    let found = added(&found.sums[index], 2 * channels);
                    assert_close(&what("sums"), &found, &sums, tolerance);
                }
            }
        }
    }
}
