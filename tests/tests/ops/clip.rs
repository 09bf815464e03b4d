//! Gradients scaled to a common norm.

use nasrl_tensor::ops::clip_global_norm;
use nasrl_tensor::{DType, Error, Memory, Tensor};
use nasrl_tests::{Inputs, Tolerance, assert_close, assert_equal, backends};

#[test]
fn only_long_gradients_are_shortened() {
    let mut inputs = Inputs::new(41);
    let values = [inputs.uniform(1), inputs.uniform(257), inputs.uniform(3000)];
    let norm = values.iter().flatten().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    for backend in backends() {
        let tensor = |g: &Vec<f32>| Tensor::from_slice(&backend, g.len(), g).unwrap();
        let gradients: Vec<_> = values.iter().map(tensor).collect();
        for most in [norm / 7.0, norm * 1.01] {
            let clipped = clip_global_norm(&gradients, most as f32).unwrap();
            for (found, g) in clipped.iter().zip(&values) {
                let what = format!("norm {norm} to {most} on {}", backend.name());
                let scale = (most / norm).min(1.0);
                let expected: Vec<f64> = g.iter().map(|&g| f64::from(g) * scale).collect();
                let found = found.to_vec().unwrap();
                if scale == 1.0 {
                    assert_equal(&what, &found, &expected);
                } else {
                    assert_close(&what, &found, &expected, Tolerance::rounding(DType::F32));
                }
            }
        }
        let refused = clip_global_norm(&gradients, 0.0);
        assert!(matches!(refused, Err(Error::Parameter { name: "most", .. })));
    }
}
