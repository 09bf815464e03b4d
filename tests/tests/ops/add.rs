//! `y = a + b` and `y += x`.

use nasrl_tensor::ops::{add, add_assign};
use nasrl_tensor::{DType, Error, Memory, Tensor};
use nasrl_tests::{FLOATS, Inputs, Tolerance, assert_close, assert_equal, rounded, tensor, values};

use crate::{Device, backends};

/// 257 is prime; 20,011 is large enough to be shared among threads.
const LENGTHS: [usize; 3] = [1, 257, 20_011];

fn reference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

#[test]
fn integers_are_exact() {
    for backend in backends() {
        for length in LENGTHS {
            let mut inputs = Inputs::new(1);
            let (a, b) = (inputs.integers(length, 50), inputs.integers(length, 50));
            for dtype in FLOATS {
                let what = format!("{dtype} of {length} on {}", backend.name());
                let expected = reference(&rounded(dtype, &a), &rounded(dtype, &b));
                let [mut a, b] = [&a, &b].map(|v| tensor(&backend, dtype, [length], v));
                let before = a.reshape([length]).unwrap();
                assert_equal(&what, &values(&add(&a, &b).unwrap()), &expected);
                add_assign(&mut a, &b).unwrap();
                assert_equal(&what, &values(&a), &expected);
                // In place, but not in the other tensor that shared the elements.
                let difference: Vec<f32> =
                    values(&a).iter().zip(values(&b)).map(|(y, b)| y - b).collect();
                assert_eq!(values(&before), difference, "{what}");
            }
        }
    }
}

#[test]
fn random_values_are_rounded_once() {
    let mut inputs = Inputs::new(2);
    let (a, b) = (inputs.uniform(257), inputs.uniform(257));
    for backend in backends() {
        for dtype in FLOATS {
            let what = format!("{dtype} on {}", backend.name());
            let expected = reference(&rounded(dtype, &a), &rounded(dtype, &b));
            let [a, b] = [&a, &b].map(|values| tensor(&backend, dtype, [257], values));
            let y = values(&add(&a, &b).unwrap());
            assert_close(&what, &y, &expected, Tolerance::rounding(dtype));
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let zeros = |dtype, shape: [usize; 2]| Tensor::zeros(&device, dtype, shape).unwrap();
    let mut a = zeros(DType::BF16, [2, 3]);
    let mut refused =
        |b: Tensor<Device>| (add(&a, &b).unwrap_err(), add_assign(&mut a, &b).unwrap_err());
    let (other_dtype, other_shape) = (zeros(DType::F16, [2, 3]), zeros(DType::BF16, [3, 2]));
    assert!(matches!(refused(other_dtype), (Error::DType { .. }, Error::DType { .. })));
    let errors = refused(other_shape);
    assert!(matches!(errors, (Error::ShapeMismatch { .. }, Error::ShapeMismatch { .. })));
    let labels = zeros(DType::U32, [2, 3]);
    assert!(matches!(add(&labels, &labels).unwrap_err(), Error::DType { .. }));
}
