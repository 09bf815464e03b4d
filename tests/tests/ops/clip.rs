//! Gradients scaled to a common norm.

use nasrl_tensor::ops::{ClipBackend, clip_global_norm};
use nasrl_tensor::{DType, Error, Memory, Tensor};
use nasrl_tests::{Inputs, Tolerance, assert_close, assert_equal, elements};

use crate::{Device, alike, backends};

fn tensors(backend: &Device, gradients: &[Vec<f32>]) -> Vec<Tensor<Device>> {
    let tensor = |g: &Vec<f32>| Tensor::from_slice(backend, g.len(), g).unwrap();
    gradients.iter().map(tensor).collect()
}

fn clipped(backend: &Device, gradients: &[Vec<f32>], most: f32) -> Vec<Vec<f32>> {
    let mut tensors = tensors(backend, gradients);
    clip_global_norm(most, &mut tensors).unwrap();
    tensors.iter().map(|gradient| gradient.to_vec().unwrap()).collect()
}

/// 3, 6, 6 have the norm 9, 24 and 32 have 40, and both together 41.
#[test]
fn a_scale_of_a_half_is_exact() {
    let gradients = [vec![3.0, -6.0, 6.0], vec![], vec![-24.0, 32.0]];
    for backend in backends() {
        assert_eq!(clipped(&backend, &gradients, 41.0), gradients);
        let halves = clipped(&backend, &gradients, 20.5);
        assert_eq!(halves, [vec![1.5, -3.0, 3.0], vec![], vec![-12.0, 16.0]]);
    }
}

#[test]
fn only_long_gradients_are_shortened() {
    let mut inputs = Inputs::new(41);
    let gradients = [1, 257, 3000, 70_001].map(|len| inputs.uniform(len));
    let norm = gradients.iter().flatten().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    for backend in backends() {
        for most in [norm / 7.0, norm * 1.0001] {
            let scale = (most / norm).min(1.0);
            for (found, g) in clipped(&backend, &gradients, most as f32).iter().zip(&gradients) {
                let what = format!("norm {norm} to {most} on {}", backend.name());
                let expected: Vec<f64> = g.iter().map(|&g| f64::from(g) * scale).collect();
                if scale == 1.0 {
                    assert_equal(&what, found, &expected);
                } else {
                    let tolerance = Tolerance::rounding(DType::F32);
                    let relative = Tolerance { absolute: 0.0, ..tolerance };
                    assert_close(&what, found, &expected, relative);
                }
            }
        }
    }
}

/// Squares that are above the largest f32 or below the smallest.
#[test]
fn extreme_gradients_are_scaled() {
    for backend in backends() {
        assert_eq!(clipped(&backend, &[vec![3e30], vec![-4e30]], 5.0), [[3.0], [-4.0]]);
        let tiny = clipped(&backend, &[vec![3e-30], vec![4e-30]], 2.5e-30);
        assert_close("tiny", &tiny.concat(), &[1.5e-30, 2e-30], {
            Tolerance { absolute: 0.0, relative: 1e-6 }
        });
    }
}

#[test]
fn a_norm_that_is_not_finite_changes_nothing() {
    for backend in backends() {
        let infinite = clipped(&backend, &[vec![2.0, f32::INFINITY]], 1.0);
        assert_eq!(infinite, [[2.0, f32::INFINITY]]);
        let nan = clipped(&backend, &[vec![2.0], vec![f32::NAN]], 1.0);
        assert!(nan[0] == [2.0] && nan[1][0].is_nan());
    }
}

#[test]
fn backends_that_are_alike_give_the_same_bits() {
    let gradients = [Inputs::new(42).uniform(300_007)];
    let found: Vec<_> = alike().iter().map(|on| clipped(on, &gradients, 1.0)).collect();
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn buffers_may_be_longer_and_tensors_shared() {
    let Some(device) = backends().pop() else { return };
    let mut buffer = device.zeros(DType::F32, 3).unwrap();
    device.write(&[3.0f32, 4.0, 100.0], &mut buffer).unwrap();
    device.clip_global_norm(2.5, &mut [(2, &mut buffer)]).unwrap();
    assert_eq!(elements::<f32, _>(&device, &buffer), [1.5, 2.0, 100.0]);
    let mut gradients = tensors(&device, &[vec![3.0, 4.0]]);
    let shared = gradients[0].clone();
    clip_global_norm(2.5, &mut gradients).unwrap();
    assert_eq!(shared.to_vec::<f32>().unwrap(), [3.0, 4.0]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let mut gradients = tensors(&device, &[vec![3.0, 4.0]]);
    for most in [0.0, -1.0, f32::NAN] {
        let refused = clip_global_norm(most, &mut gradients);
        assert!(matches!(refused, Err(Error::Parameter { name: "most", .. })));
    }
    gradients.push(Tensor::zeros(&device, DType::BF16, [2]).unwrap());
    assert!(matches!(clip_global_norm(1.0, &mut gradients), Err(Error::DType { .. })));
    assert_eq!(gradients[0].to_vec::<f32>().unwrap(), [3.0, 4.0]);
    assert!(clip_global_norm::<Device>(1.0, &mut []).is_ok());
}
