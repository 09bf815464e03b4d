//! `y = softmax(x)`, `y = log_softmax(x)` and their gradients.

use nasrl_tensor::ops::{log_softmax, log_softmax_backward, softmax, softmax_backward};
use nasrl_tensor::{DType, Error, Memory, Tensor};
use nasrl_tests::{
    FLOATS, Inputs, Tolerance, assert_close, assert_equal, finite_difference, rounded, tensor,
    values,
};

use crate::backends;

/// Rows and channels: one of each, primes, a vocabulary, enough rows for several threads, and rows
/// that a GPU holds in registers: of a warp, as long as can be, and of a block.
const SHAPES: [[usize; 2]; 9] =
    [[1, 1], [1, 7], [13, 1], [5, 31], [2, 10_007], [1031, 10], [9, 40], [3, 1024], [2, 2056]];

fn probabilities(x: &[f64], channels: usize) -> Vec<f64> {
    let mut y = Vec::new();
    for row in x.chunks(channels) {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - max).exp()).sum();
        y.extend(row.iter().map(|x| (x - max).exp() / sum));
    }
    y
}

fn logarithms(x: &[f64], channels: usize) -> Vec<f64> {
    let mut y = Vec::new();
    for row in x.chunks(channels) {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - max).exp()).sum();
        y.extend(row.iter().map(|x| x - max - sum.ln()));
    }
    y
}

/// The rounding of the result, of the differences from the largest element, up to 20, in f32, and
/// of the sum.
fn tolerance(dtype: DType, channels: usize) -> Tolerance {
    let (result, sum) = (Tolerance::rounding(dtype), Tolerance::sum(DType::F32, channels));
    let difference = 20.0 * Tolerance::rounding(DType::F32).relative;
    Tolerance {
        absolute: result.absolute + sum.absolute + difference,
        relative: result.relative + sum.absolute + difference,
    }
}

#[test]
fn equal_logits_are_equally_likely() {
    for backend in backends() {
        for dtype in FLOATS {
            for magnitude in [0.0, 60_000.0, -60_000.0] {
                let what = format!("{magnitude} {dtype} on {}", backend.name());
                let x = tensor(&backend, dtype, [3, 4], &[magnitude; 12]);
                assert_equal(&what, &values(&softmax(&x).unwrap()), &[0.25; 12]);
                let log = values(&log_softmax(&x).unwrap());
                assert_close(&what, &log, &[0.25f64.ln(); 12], Tolerance::rounding(dtype));
            }
        }
    }
}

#[test]
fn certain_and_impossible_classes_are_exact() {
    for backend in backends() {
        let x = [30_000.0, -30_000.0, f32::NEG_INFINITY];
        for dtype in FLOATS {
            let x = tensor(&backend, dtype, [1, 3], &x);
            assert_eq!(values(&softmax(&x).unwrap()), [1.0, 0.0, 0.0]);
            let log = values(&log_softmax(&x).unwrap());
            assert_eq!([log[0], log[2]], [0.0, f32::NEG_INFINITY]);
            assert!(log[1].is_infinite() || log[1] < -59_000.0, "{}", log[1]);
        }
    }
}

#[test]
fn random_values_are_within_rounding() {
    for backend in backends() {
        for [rows, channels] in SHAPES {
            let x: Vec<f32> =
                Inputs::new(1).uniform(rows * channels).iter().map(|x| 10.0 * x).collect();
            for dtype in FLOATS {
                let what = format!("{dtype} [{rows}, {channels}] on {}", backend.name());
                let stored = rounded(dtype, &x);
                let x = tensor(&backend, dtype, [rows, channels], &x);
                let tolerance = tolerance(dtype, channels);
                let y = values(&softmax(&x).unwrap());
                assert_close(&what, &y, &probabilities(&stored, channels), tolerance);
                let y = values(&log_softmax(&x).unwrap());
                assert_close(&what, &y, &logarithms(&stored, channels), tolerance);
            }
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for backend in backends() {
        for [rows, channels] in [[1, 1], [3, 7], [2, 31]] {
            let mut inputs = Inputs::new(2);
            let count = rows * channels;
            let (x, dy) = (inputs.uniform(count), inputs.uniform(count));
            let x64: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            let expected = |reference: fn(&[f64], usize) -> Vec<f64>| {
                finite_difference(&x64, 1e-5, |x| {
                    let y = reference(x, channels);
                    y.iter().zip(&dy).map(|(y, &dy)| y * f64::from(dy)).sum()
                })
            };
            let what = format!("[{rows}, {channels}] on {}", backend.name());
            let x = tensor(&backend, DType::F32, [rows, channels], &x);
            let dy_tensor = tensor(&backend, DType::F32, [rows, channels], &dy);
            let dx = softmax_backward(&softmax(&x).unwrap(), &dy_tensor).unwrap();
            let tolerance = Tolerance::FINITE_DIFFERENCE;
            assert_close(&what, &values(&dx), &expected(probabilities), tolerance);
            let dx = log_softmax_backward(&log_softmax(&x).unwrap(), &dy_tensor).unwrap();
            assert_close(&what, &values(&dx), &expected(logarithms), tolerance);
        }
    }
}

/// From a stored output on, a gradient of 16-bit operands is rounded once.
#[test]
fn gradients_of_every_dtype_are_within_rounding() {
    for [rows, channels] in [[1031, 10], [3, 2003]] {
        let mut inputs = Inputs::new(3);
        let (x, dy) = (inputs.uniform(rows * channels), inputs.uniform(rows * channels));
        for (backend, dtype) in backends().iter().flat_map(|on| FLOATS.map(|dtype| (on, dtype))) {
            let what = format!("{dtype} [{rows}, {channels}] on {}", backend.name());
            let x = tensor(backend, dtype, [rows, channels], &x);
            let dy = tensor(backend, dtype, [rows, channels], &dy);
            let tolerance = tolerance(dtype, channels);
            for probabilities in [true, false] {
                let (y, dx) = if probabilities {
                    let y = softmax(&x).unwrap();
                    (values(&y), softmax_backward(&y, &dy).unwrap())
                } else {
                    let y = log_softmax(&x).unwrap();
                    (values(&y), log_softmax_backward(&y, &dy).unwrap())
                };
                let (y, dy) = (rounded(DType::F32, &y), rounded(DType::F32, &values(&dy)));
                let mut expected = Vec::new();
                for (y, dy) in y.chunks(channels).zip(dy.chunks(channels)) {
                    let sum: f64 = dy.iter().sum();
                    let mean: f64 = y.iter().zip(dy).map(|(y, dy)| y * dy).sum();
                    expected.extend(y.iter().zip(dy).map(|(y, dy)| match probabilities {
                        true => y * (dy - mean),
                        false => dy - y.exp() * sum,
                    }));
                }
                assert_close(&what, &values(&dx), &expected, tolerance);
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let zeros = |dtype, shape: [usize; 2]| Tensor::zeros(&device, dtype, shape).unwrap();
    let y = zeros(DType::F32, [2, 3]);
    for function in [softmax, log_softmax] {
        assert!(matches!(function(&zeros(DType::U32, [2, 3])).unwrap_err(), Error::DType { .. }));
        assert!(matches!(function(&zeros(DType::F32, [2, 0])).unwrap_err(), Error::Shape { .. }));
    }
    for function in [softmax_backward, log_softmax_backward] {
        let refused = |dtype, shape| function(&y, &zeros(dtype, shape)).unwrap_err();
        assert!(matches!(refused(DType::BF16, [2, 3]), Error::DType { .. }));
        assert!(matches!(refused(DType::F32, [3, 2]), Error::ShapeMismatch { .. }));
    }
}
