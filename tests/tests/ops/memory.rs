//! Allocation, transfer and conversion.

use half::{bf16, f16};
use nasrl_tensor::{DType, Element, Error, Memory, Tensor};
use nasrl_tests::{FLOATS, Inputs, rounded, tensor, values};

use crate::backends;

/// Nothing, one, one vector and its neighbours, primes.
const LENGTHS: [usize; 6] = [0, 1, 7, 8, 257, 20_011];

fn there_and_back<T: Element>(value: impl Fn(u32) -> T) {
    for backend in backends() {
        for length in LENGTHS {
            let data: Vec<T> = (0..length as u32).map(&value).collect();
            let there = Tensor::from_slice(&backend, length, &data).unwrap();
            assert_eq!(there.dtype(), T::DTYPE);
            assert!(there.to_vec::<T>().unwrap() == data, "{length} {}", T::DTYPE);
            assert!(there.to(&backend).unwrap().to_vec::<T>().unwrap() == data);
        }
    }
}

#[test]
fn elements_come_back_as_they_went() {
    there_and_back(|i| i as f32 - 0.5);
    there_and_back(|i| bf16::from_f32(i as f32));
    there_and_back(|i| f16::from_f32(1.0 / (i + 1) as f32));
    there_and_back(|i| i as u8);
    there_and_back(|i| i.wrapping_mul(0x9e37_79b9));
}

#[test]
fn copies_and_clears_stop_where_they_are_told() {
    for backend in backends() {
        let data: Vec<u32> = (1..=300).collect();
        let from = Tensor::from_slice(&backend, 300, &data).unwrap();
        let mut to = backend.zeros(DType::U32, 400).unwrap();
        backend.copy(257, from.buffer(), &mut to).unwrap();
        backend.clear(100, &mut to).unwrap();
        backend.synchronize().unwrap();
        let mut found = vec![7; 400];
        backend.read(&to, &mut found).unwrap();
        let expected = |i: u32| if (100..257).contains(&i) { i + 1 } else { 0 };
        assert_eq!(found, (0..400).map(expected).collect::<Vec<_>>());
    }
}

#[test]
fn casts_round_to_nearest_even() {
    let mut values_of_all = Inputs::new(1).uniform(20_000);
    // Ties of both 16-bit types, the largest of f16 and what is beyond, subnormals, zeros.
    values_of_all.extend([8, 11].map(|bits| 1.0 + f32::powi(0.5, bits)));
    values_of_all.extend([8, 11].map(|bits| 1.0 + 3.0 * f32::powi(0.5, bits)));
    values_of_all.extend([65_504.0, 65_519.0, 65_520.0, 1e-7, 3e-8, 2.9e-8, 1e-39, 0.0, -0.0]);
    values_of_all.extend([f32::INFINITY, f32::NEG_INFINITY, -2.5]);
    for backend in backends() {
        for from in FLOATS {
            let x = tensor(&backend, from, values_of_all.len(), &values_of_all);
            let stored: Vec<f32> = values(&x);
            assert_eq!(rounded(DType::F32, &stored), rounded(from, &values_of_all), "{from}");
            for to in FLOATS {
                let what = format!("{from} to {to} on {}", backend.name());
                let found = rounded(DType::F32, &values(&x.cast(to).unwrap()));
                assert_eq!(found, rounded(to, &stored), "{what}");
            }
        }
        let nan = tensor(&backend, DType::F32, 1, &[f32::NAN]);
        for to in FLOATS {
            assert!(values(&nan.cast(to).unwrap())[0].is_nan());
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let refused = Tensor::from_slice(&device, [2, 3], &[1.0f32; 5]).unwrap_err();
    assert!(matches!(refused, Error::Length { found: 5, .. }));
    let labels = Tensor::from_slice(&device, 2, &[1u32, 2]).unwrap();
    assert!(matches!(labels.to_vec::<f32>().unwrap_err(), Error::DType { .. }));
    assert!(matches!(labels.cast(DType::F32).unwrap_err(), Error::DType { .. }));
}
