//! `y = f(x)` and `dx = f'(x) dy`.

use half::{bf16, f16};
use nasrl_tensor::ops::{Activation, activation, activation_backward};
use nasrl_tensor::{DType, Memory, Tensor};
use nasrl_tests::{
    Inputs, Tolerance, assert_close, assert_equal, finite_difference, tensor, values,
};

use crate::{Device, backends};

/// 257 is prime; 20,011 is large enough to be shared among threads.
const LENGTHS: [usize; 3] = [1, 257, 20_011];

fn reference(f: Activation, x: f64) -> f64 {
    match f {
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
    }
}

fn run(backend: &Device, f: Activation, x: &[f32], dtype: DType) -> Vec<f32> {
    let x = Tensor::from_slice(backend, x.len(), x).unwrap().cast(dtype).unwrap();
    activation(&x, f).unwrap().cast(DType::F32).unwrap().to_vec().unwrap()
}

#[test]
fn relu_of_integers_is_exact() {
    for backend in backends() {
        for length in LENGTHS {
            let x = Inputs::new(1).integers(length, 9);
            let expected: Vec<f64> = x.iter().map(|&x| f64::from(x).max(0.0)).collect();
            for dtype in [DType::F32, DType::BF16, DType::F16] {
                let what = format!("relu {dtype} of {length} on {}", backend.name());
                assert_equal(&what, &run(&backend, Activation::Relu, &x, dtype), &expected);
            }
        }
    }
}

#[test]
fn functions_of_random_values_are_within_rounding() {
    for backend in backends() {
        for f in [Activation::Relu, Activation::Tanh, Activation::Sigmoid] {
            let x = Inputs::new(2).uniform(257);
            let rounded = |dtype: DType, x: f32| match dtype {
                DType::BF16 => bf16::from_f32(x).to_f64(),
                DType::F16 => f16::from_f32(x).to_f64(),
                _ => f64::from(x),
            };
            for dtype in [DType::F32, DType::BF16, DType::F16] {
                let expected: Vec<f64> =
                    x.iter().map(|&x| reference(f, rounded(dtype, x))).collect();
                let what = format!("{f} {dtype} on {}", backend.name());
                assert_close(&what, &run(&backend, f, &x, dtype), &expected, {
                    Tolerance::rounding(dtype)
                });
            }
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let mut inputs = Inputs::new(3);
    let (x, dy) = (inputs.uniform(257), inputs.uniform(257));
    let x64: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    for backend in backends() {
        for f in [Activation::Relu, Activation::Tanh, Activation::Sigmoid] {
            let expected = finite_difference(&x64, 1e-5, |x| {
                x.iter().zip(&dy).map(|(&x, &dy)| reference(f, x) * f64::from(dy)).sum()
            });
            let x = Tensor::from_slice(&backend, 257, &x).unwrap();
            let dy = Tensor::from_slice(&backend, 257, &dy).unwrap();
            let dx = activation_backward(&activation(&x, f).unwrap(), &dy, f).unwrap();
            let what = format!("gradient of {f} on {}", backend.name());
            assert_close(&what, &dx.to_vec().unwrap(), &expected, Tolerance::FINITE_DIFFERENCE);
        }
    }
}

/// From a stored output on, a gradient of 16-bit operands is rounded once.
#[test]
fn gradients_of_every_dtype_are_within_rounding() {
    let mut inputs = Inputs::new(4);
    let (x, dy) = (inputs.uniform(257), inputs.uniform(257));
    for backend in backends() {
        for dtype in [DType::F32, DType::BF16, DType::F16] {
            for f in [Activation::Relu, Activation::Tanh, Activation::Sigmoid] {
                let [x, dy] = [&x, &dy].map(|values| tensor(&backend, dtype, 257, values));
                let y = activation(&x, f).unwrap();
                let dx = values(&activation_backward(&y, &dy, f).unwrap());
                let expected: Vec<f64> = (values(&y).into_iter().map(f64::from))
                    .zip(values(&dy).into_iter().map(f64::from))
                    .map(|(y, dy)| match f {
                        Activation::Relu => {
                            if y > 0.0 {
                                dy
                            } else {
                                0.0
                            }
                        }
                        Activation::Tanh => (1.0 - y * y) * dy,
                        Activation::Sigmoid => y * (1.0 - y) * dy,
                    })
                    .collect();
                let what = format!("gradient of {f} {dtype} on {}", backend.name());
                assert_close(&what, &dx, &expected, Tolerance::rounding(dtype));
            }
        }
    }
}

#[test]
fn relu_keeps_nan() {
    for backend in backends() {
        let y = run(&backend, Activation::Relu, &[f32::NAN, -1.0, 1.0], DType::F32);
        assert!(y[0].is_nan() && y[1..] == [0.0, 1.0], "{y:?} on {}", backend.name());
    }
}
