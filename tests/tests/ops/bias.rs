//! `y = f(x + b)` and `db = sum dy`.

use nasrl_tensor::ops::{Activation, bias, bias_backward, bias_backward_add};
use nasrl_tensor::{DType, Error, Memory, Shape, Tensor};
use nasrl_tests::{FLOATS, Inputs, Tolerance, assert_close, assert_equal, rounded, tensor, values};

use crate::{Device, alike, backends};

/// Rows and channels: one of each, fewer channels than a vector, primes, more than a wide row, and
/// enough rows for several blocks of the gradient's sum and for several threads.
const SHAPES: [[usize; 2]; 6] = [[1, 1], [1, 3], [13, 1], [7, 257], [1031, 64], [40_009, 3]];

const ACTIVATIONS: [Option<Activation>; 4] =
    [None, Some(Activation::Relu), Some(Activation::Tanh), Some(Activation::Sigmoid)];

fn reference(x: &[f64], b: &[f64], f: Option<Activation>) -> Vec<f64> {
    let f = |x: f64| match f {
        None => x,
        Some(Activation::Relu) => x.max(0.0),
        Some(Activation::Tanh) => x.tanh(),
        Some(Activation::Sigmoid) => 1.0 / (1.0 + (-x).exp()),
    };
    x.iter().enumerate().map(|(i, x)| f(x + b[i % b.len()])).collect()
}

fn gradient(dy: &[f64], channels: usize) -> Vec<f64> {
    let mut db = vec![0.0; channels];
    for (i, dy) in dy.iter().enumerate() {
        db[i % channels] += dy;
    }
    db
}

#[test]
fn integers_are_exact() {
    for backend in backends() {
        for [rows, channels] in SHAPES {
            let mut inputs = Inputs::new(1);
            let (x, b) = (inputs.integers(rows * channels, 9), inputs.integers(channels, 9));
            for dtype in FLOATS {
                for f in [None, Some(Activation::Relu)] {
                    let what = format!("{dtype} [{rows}, {channels}] {f:?} on {}", backend.name());
                    let expected = reference(&rounded(dtype, &x), &rounded(DType::F32, &b), f);
                    let x = tensor(&backend, dtype, [rows, channels], &x);
                    let b = tensor(&backend, DType::F32, [channels], &b);
                    assert_equal(&what, &values(&bias(&x, &b, f).unwrap()), &expected);
                }
                let what = format!("gradient {dtype} [{rows}, {channels}] on {}", backend.name());
                let expected = gradient(&rounded(dtype, &x), channels);
                let dy = tensor(&backend, dtype, [rows, channels], &x);
                let mut db = bias_backward(&dy).unwrap();
                assert_equal(&what, &values(&db), &expected);
                bias_backward_add(&dy, &mut db).unwrap();
                let twice: Vec<f64> = expected.iter().map(|db| 2.0 * db).collect();
                assert_equal(&format!("{what}, added"), &values(&db), &twice);
            }
        }
    }
}

#[test]
fn random_values_are_within_rounding() {
    for backend in backends() {
        let (shape, channels) = ([5, 3, 11, 24], 24);
        let mut inputs = Inputs::new(2);
        let (x, b) = (inputs.uniform(5 * 3 * 11 * 24), inputs.uniform(channels));
        for dtype in FLOATS {
            let stored = rounded(dtype, &x);
            let x = tensor(&backend, dtype, shape, &x);
            let bias_values = tensor(&backend, DType::F32, [channels], &b);
            for f in ACTIVATIONS {
                let what = format!("{dtype} {f:?} on {}", backend.name());
                let expected = reference(&stored, &rounded(DType::F32, &b), f);
                let y = values(&bias(&x, &bias_values, f).unwrap());
                assert_close(&what, &y, &expected, Tolerance::rounding(dtype));
            }
            let what = format!("gradient {dtype} on {}", backend.name());
            let db = values(&bias_backward(&x).unwrap());
            let tolerance = Tolerance::sum(DType::F32, 5 * 3 * 11);
            assert_close(&what, &db, &gradient(&stored, channels), tolerance);
        }
    }
}

#[test]
fn backends_that_are_alike_give_the_same_bits() {
    let (rows, channels) = (20_011, 7);
    let dy = Inputs::new(3).uniform(rows * channels);
    let gradients: Vec<_> = (alike().iter())
        .map(|on| values(&bias_backward(&tensor(on, DType::F32, [rows, channels], &dy)).unwrap()))
        .collect();
    assert!(gradients.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let zeros = |dtype, shape: &[usize]| Tensor::zeros(&device, dtype, Shape::new(shape)).unwrap();
    let x = zeros(DType::BF16, &[2, 3]);
    let refused = |b: &Tensor<Device>| bias(&x, b, None).unwrap_err();
    assert!(matches!(refused(&zeros(DType::F32, &[2])), Error::ShapeMismatch { .. }));
    assert!(matches!(refused(&zeros(DType::F32, &[1, 3])), Error::ShapeMismatch { .. }));
    assert!(matches!(refused(&zeros(DType::BF16, &[3])), Error::DType { .. }));
    let labels = zeros(DType::U32, &[2, 3]);
    assert!(matches!(bias_backward(&labels).unwrap_err(), Error::DType { .. }));
    let nothing = zeros(DType::F32, &[2, 0]);
    assert!(matches!(bias_backward(&nothing).unwrap_err(), Error::Shape { .. }));
    let db = &mut zeros(DType::F32, &[4]);
    assert!(matches!(bias_backward_add(&x, db).unwrap_err(), Error::ShapeMismatch { .. }));
}
