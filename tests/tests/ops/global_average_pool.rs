//! `y[n, c] = sum_p x[n, p, c] / pixels` and `dx[n, p, c] = dy[n, c] / pixels`.

use nasrl_tensor::ops::{
    GlobalAveragePool, GlobalAveragePoolBackend, global_average_pool, global_average_pool_backward,
};
use nasrl_tensor::{DType, Error, Memory, Tensor};
use nasrl_tests::{FLOATS, Inputs, Tolerance, assert_close, assert_equal, rounded, tensor, values};

use crate::{Device, backends};

/// Ones, primes, one channel of many pixels, the reference child's last map; enough images for
/// several threads.
const SHAPES: [[usize; 4]; 5] =
    [[1, 1, 1, 1], [2, 5, 7, 3], [3, 17, 19, 1], [64, 8, 8, 64], [2, 1, 3, 259]];

fn reference(x: &[f64], [images, height, width, channels]: [usize; 4]) -> Vec<f64> {
    let mut y = vec![0.0; images * channels];
    for n in 0..images {
        for p in 0..height * width {
            for c in 0..channels {
                y[n * channels + c] += x[(n * height * width + p) * channels + c];
            }
        }
    }
    y.iter().map(|sum| sum / (height * width) as f64).collect()
}

fn gradient(dy: &[f64], [images, height, width, channels]: [usize; 4]) -> Vec<f64> {
    let pixels = height * width;
    let share = |i: usize| dy[i / (pixels * channels) * channels + i % channels] / pixels as f64;
    (0..images * pixels * channels).map(share).collect()
}

/// The gradient through a relu, from the backend's method: no function on tensors fuses the two.
fn masked(
    backend: &Device,
    shape: [usize; 4],
    dy: &Tensor<Device>,
    y: &Tensor<Device>,
) -> Vec<f32> {
    let [images, height, width, channels] = shape;
    let geometry = GlobalAveragePool { images, pixels: height * width, channels };
    let mut dx = Tensor::zeros(backend, y.dtype(), shape).unwrap();
    let (dy, mask) = (dy.buffer(), Some(y.buffer()));
    backend.global_average_pool_backward(&geometry, dy, mask, dx.buffer_mut().unwrap()).unwrap();
    values(&dx)
}

#[test]
fn integers_are_exact() {
    for backend in backends() {
        for shape in SHAPES {
            let [images, height, width, channels] = shape;
            let mut inputs = Inputs::new(1);
            let what = |dtype| format!("{dtype} {shape:?} on {}", backend.name());
            // Multiples of the pixels, so that the means are integers; small enough for bf16.
            let pixels = (height * width) as f32;
            let dy = inputs.integers(images * channels, 9);
            let dy: Vec<f32> = dy.iter().map(|dy| dy * pixels).collect();
            let x = inputs.integers(shape.iter().product(), 9);
            for dtype in FLOATS {
                let dy64 = rounded(DType::F32, &dy);
                let expected = gradient(&dy64, shape);
                let dy = tensor(&backend, DType::F32, [images, channels], &dy);
                let dx = values(&global_average_pool_backward(&dy, shape, dtype).unwrap());
                assert_equal(&what(dtype), &dx, &expected);
                let through_relu: Vec<f64> = (expected.iter().zip(&x))
                    .map(|(&dx, &x)| if x > 0.0 { dx } else { 0.0 })
                    .collect();
                let x = tensor(&backend, dtype, shape, &x);
                assert_equal(&what(dtype), &masked(&backend, shape, &dy, &x), &through_relu);
                let spread = tensor(&backend, dtype, shape, &dx);
                let y = values(&global_average_pool(&spread).unwrap());
                let means: Vec<f64> = dy64.iter().map(|dy| dy / f64::from(pixels)).collect();
                assert_equal(&what(dtype), &y, &means);
            }
        }
    }
}

#[test]
fn random_values_are_within_rounding() {
    for backend in backends() {
        for shape in SHAPES {
            let [images, height, width, channels] = shape;
            let mut inputs = Inputs::new(2);
            let x = inputs.uniform(shape.iter().product());
            let dy = inputs.uniform(images * channels);
            for dtype in FLOATS {
                let what = format!("{dtype} {shape:?} on {}", backend.name());
                let expected = reference(&rounded(dtype, &x), shape);
                let y = global_average_pool(&tensor(&backend, dtype, shape, &x)).unwrap();
                let tolerance = Tolerance::sum(DType::F32, height * width);
                assert_close(&what, &values(&y), &expected, tolerance);
                let expected = gradient(&rounded(DType::F32, &dy), shape);
                let dy = tensor(&backend, DType::F32, [images, channels], &dy);
                let dx = values(&global_average_pool_backward(&dy, shape, dtype).unwrap());
                assert_close(&what, &dx, &expected, Tolerance::rounding(dtype));
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let zeros = |dtype, shape: [usize; 4]| Tensor::zeros(&device, dtype, shape).unwrap();
    let refused = |x: &Tensor<Device>| global_average_pool(x).unwrap_err();
    assert!(matches!(refused(&zeros(DType::F32, [2, 0, 3, 4])), Error::Shape { .. }));
    assert!(matches!(refused(&zeros(DType::U8, [2, 3, 3, 4])), Error::DType { .. }));
    let flat = zeros(DType::F32, [2, 3, 3, 4]).reshape([2, 36]).unwrap();
    assert!(matches!(refused(&flat), Error::Shape { .. }));
    let back = |dy: &Tensor<Device>, dtype| {
        global_average_pool_backward(dy, [2, 3, 3, 4], dtype).unwrap_err()
    };
    let dy = |dtype, shape: [usize; 2]| Tensor::zeros(&device, dtype, shape).unwrap();
    let f32 = DType::F32;
    assert!(matches!(back(&dy(f32, [2, 3]), f32), Error::ShapeMismatch { .. }));
    assert!(matches!(back(&dy(DType::BF16, [2, 4]), f32), Error::DType { .. }));
    assert!(matches!(back(&dy(f32, [2, 4]), DType::U32), Error::DType { .. }));
}
