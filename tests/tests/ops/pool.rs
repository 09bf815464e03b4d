//! Maxima and means over windows of pixels, and their gradients.

use nasrl_tensor::ops::{Padding, Pool2d, Pool2dBackend, Pooling, pool2d, pool2d_backward};
use nasrl_tensor::{DType, Error, Memory, Tensor};
use nasrl_tests::{
    FLOATS, Inputs, Tolerance, assert_close, assert_equal, finite_difference, rounded, tensor,
    values,
};

use crate::{Device, backends};

const POOLINGS: [Pooling; 2] = [Pooling::Max, Pooling::Average];

/// Images and geometries, as if for maxima: one pixel, windows that overlap, that leave gaps, that
/// are even, oblong or as large as the image, padding that differs on every side, a last row and
/// column that no window reaches, and enough for several threads.
fn problems() -> Vec<(usize, Pool2d)> {
    let new = |input, channels, window| Pool2d::new(Pooling::Max, input, channels, window);
    let padding = |top, bottom, left, right| Padding { top, bottom, left, right };
    vec![
        (1, new([1, 1], 1, [1, 1])),
        (2, new([4, 6], 3, [2, 2])),
        (3, new([7, 5], 2, [2, 3])),
        (1, new([5, 4], 7, [5, 4])),
        (2, Pool2d { stride: [1, 1], ..new([6, 7], 5, [3, 3]) }.same()),
        (2, Pool2d { stride: [2, 2], ..new([7, 8], 17, [3, 3]) }.same()),
        (2, Pool2d { stride: [3, 4], ..new([11, 13], 3, [2, 3]) }),
        (1, Pool2d { stride: [3, 1], ..new([5, 3], 4, [2, 4]) }.same()),
        (2, Pool2d { stride: [2, 1], padding: padding(2, 1, 0, 3), ..new([5, 6], 3, [3, 4]) }),
        (3, Pool2d { stride: [2, 1], ..new([9, 6], 24, [3, 2]) }.same()),
        (16, Pool2d { stride: [1, 2], ..new([16, 17], 31, [3, 2]) }.same()),
    ]
}

/// The elements of a window of an image that lie in it, in row-major order.
fn window(g: &Pool2d, n: usize, p: usize, q: usize, c: usize) -> Vec<usize> {
    let [height, width] = g.input;
    let mut elements = vec![];
    for r in 0..g.window[0] {
        for s in 0..g.window[1] {
            let h = (p * g.stride[0] + r).checked_sub(g.padding.top);
            let w = (q * g.stride[1] + s).checked_sub(g.padding.left);
            if let (Some(h), Some(w)) = (h, w)
                && h < height
                && w < width
            {
                elements.push(((n * height + h) * width + w) * g.channels + c);
            }
        }
    }
    elements
}

/// Calls `body(output, window)` for every element of the output.
fn each_window(images: usize, g: &Pool2d, mut body: impl FnMut(usize, Vec<usize>)) {
    let [rows, columns] = g.output();
    for n in 0..images {
        for p in 0..rows {
            for q in 0..columns {
                for c in 0..g.channels {
                    let output = ((n * rows + p) * columns + q) * g.channels + c;
                    body(output, window(g, n, p, q, c));
                }
            }
        }
    }
}

fn reference(x: &[f64], images: usize, g: &Pool2d) -> Vec<f64> {
    let mut y = vec![];
    each_window(images, g, |_, window| {
        y.push(match g.pooling {
            Pooling::Max => window.iter().map(|&i| x[i]).fold(f64::NEG_INFINITY, f64::max),
            Pooling::Average => window.iter().map(|&i| x[i]).sum::<f64>() / window.len() as f64,
        });
    });
    y
}

fn gradient(x: &[f64], dy: &[f64], images: usize, g: &Pool2d) -> Vec<f64> {
    let mut dx = vec![0.0; x.len()];
    each_window(images, g, |output, window| match g.pooling {
        Pooling::Max => {
            let max = window.iter().map(|&i| x[i]).fold(f64::NEG_INFINITY, f64::max);
            let first = window.iter().find(|&&i| x[i] == max).unwrap();
            dx[*first] += dy[output];
        }
        Pooling::Average => {
            window.iter().for_each(|&i| dx[i] += dy[output] / window.len() as f64);
        }
    });
    dx
}

fn shapes(images: usize, g: &Pool2d) -> ([usize; 4], [usize; 4]) {
    let [[h, w], [p, q]] = [g.input, g.output()];
    ([images, h, w, g.channels], [images, p, q, g.channels])
}

#[test]
fn integers_are_exact() {
    for backend in backends() {
        for (images, problem) in problems() {
            let g = Pool2d { pooling: Pooling::Max, ..problem };
            let (input, output) = shapes(images, &g);
            let mut inputs = Inputs::new(1);
            // Few different values, so that most windows have several maxima.
            let x = inputs.integers(input.iter().product(), 2);
            let dy = inputs.integers(output.iter().product(), 9);
            for dtype in FLOATS {
                let what = format!("{dtype} {images} of {g:?} on {}", backend.name());
                let [x64, dy64] = [&x, &dy].map(|values| rounded(dtype, values));
                let x = tensor(&backend, dtype, input, &x);
                let dy = tensor(&backend, dtype, output, &dy);
                let y = pool2d(&x, &g).unwrap();
                assert_equal(&what, &values(&y), &reference(&x64, images, &g));
                let dx = pool2d_backward(&x, &dy, &g).unwrap();
                let expected = gradient(&x64, &dy64, images, &g);
                assert_equal(&format!("gradient {what}"), &values(&dx), &expected);
            }
        }
    }
}

#[test]
fn random_values_are_within_rounding() {
    for backend in backends() {
        for (images, problem) in problems() {
            for pooling in POOLINGS {
                let g = Pool2d { pooling, ..problem };
                let (input, output) = shapes(images, &g);
                let mut inputs = Inputs::new(2);
                let x = inputs.uniform(input.iter().product());
                let dy = inputs.uniform(output.iter().product());
                for dtype in FLOATS {
                    let what = format!("{dtype} {images} of {g:?} on {}", backend.name());
                    let [x64, dy64] = [&x, &dy].map(|values| rounded(dtype, values));
                    let x = tensor(&backend, dtype, input, &x);
                    let dy = tensor(&backend, dtype, output, &dy);
                    let y = pool2d(&x, &g).unwrap();
                    let expected = reference(&x64, images, &g);
                    assert_close(&what, &values(&y), &expected, Tolerance::rounding(dtype));
                    let dx = pool2d_backward(&x, &dy, &g).unwrap();
                    let expected = gradient(&x64, &dy64, images, &g);
                    let what = format!("gradient {what}");
                    assert_close(&what, &values(&dx), &expected, Tolerance::rounding(dtype));
                }
            }
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for (images, problem) in problems().into_iter().filter(|(images, _)| *images < 16) {
        for pooling in POOLINGS {
            let g = Pool2d { pooling, ..problem };
            let (input, output) = shapes(images, &g);
            let mut inputs = Inputs::new(3);
            let x = inputs.uniform(input.iter().product());
            let dy = inputs.uniform(output.iter().product());
            let [x64, dy64] = [&x, &dy].map(|values| rounded(DType::F32, values));
            let expected = finite_difference(&x64, 1e-5, |x| {
                let y = reference(x, images, &g);
                y.iter().zip(&dy64).map(|(y, dy)| y * dy).sum()
            });
            for backend in backends() {
                let x = tensor(&backend, DType::F32, input, &x);
                let dy = tensor(&backend, DType::F32, output, &dy);
                let dx = values(&pool2d_backward(&x, &dy, &g).unwrap());
                let what = format!("{images} of {g:?} on {}", backend.name());
                assert_close(&what, &dx, &expected, Tolerance::FINITE_DIFFERENCE);
            }
        }
    }
}

#[test]
fn a_nan_is_passed_on_and_takes_the_gradient() {
    let (nan, low) = (f32::NAN, f32::NEG_INFINITY);
    let g = Pool2d::new(Pooling::Max, [1, 3], 1, [1, 3]);
    for backend in backends() {
        for (x, place) in [([1.0, nan, 2.0], 1), ([nan, 1.0, nan], 0), ([low, low, low], 0)] {
            let maximum = x[place];
            let x = tensor(&backend, DType::F32, [1, 1, 3, 1], &x);
            let y = values(&pool2d(&x, &g).unwrap());
            assert_eq!(y[0].to_bits(), maximum.to_bits());
            let dy = tensor(&backend, DType::F32, [1, 1, 1, 1], &[5.0]);
            let mut expected = [0.0; 3];
            expected[place] = 5.0;
            assert_eq!(values(&pool2d_backward(&x, &dy, &g).unwrap()), expected);
        }
    }
}

#[test]
fn buffers_may_be_longer_than_the_images() {
    let g = Pool2d::new(Pooling::Average, [2, 2], 1, [2, 2]);
    let Some(device) = backends().pop() else { return };
    let filled = |length: usize| tensor(&device, DType::F32, [length], &vec![4.0; length]);
    let (x, dy, mut y, mut dx) = (filled(12), filled(3), filled(3), filled(12));
    device.pool2d(&g, 2, x.buffer(), y.buffer_mut().unwrap()).unwrap();
    assert_eq!(values(&y), [4.0; 3]);
    device.pool2d_backward(&g, 2, x.buffer(), dy.buffer(), dx.buffer_mut().unwrap()).unwrap();
    assert_eq!(values(&dx), [[1.0; 8].as_slice(), &[4.0; 4]].concat());
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let zeros = |dtype, shape: [usize; 4]| Tensor::zeros(&device, dtype, shape).unwrap();
    let g = Pool2d::new(Pooling::Max, [4, 5], 3, [2, 2]);
    let x = zeros(DType::BF16, [2, 4, 5, 3]);
    let refused = |g: Pool2d, x: &Tensor<Device>| pool2d(x, &g).unwrap_err();
    for impossible in [
        Pool2d { window: [0, 2], ..g },
        Pool2d { stride: [1, 0], ..g },
        Pool2d { input: [0, 5], ..g },
        Pool2d { channels: 0, ..g },
        Pool2d { window: [5, 2], ..g },
        Pool2d { padding: Padding { top: 2, ..Padding::default() }, ..g },
        Pool2d { padding: Padding { right: 2, ..Padding::default() }, ..g },
    ] {
        assert!(matches!(refused(impossible, &x), Error::Parameter { .. }), "{impossible:?}");
    }
    let transposed = zeros(DType::BF16, [2, 5, 4, 3]);
    assert!(matches!(refused(g, &transposed), Error::ShapeMismatch { .. }));
    assert!(matches!(refused(g, &x.reshape([8, 15]).unwrap()), Error::Shape { .. }));
    assert!(matches!(refused(g, &zeros(DType::U8, [2, 4, 5, 3])), Error::DType { .. }));
    let backward = |dy: &Tensor<Device>| pool2d_backward(&x, dy, &g).unwrap_err();
    assert!(matches!(backward(&zeros(DType::F32, [2, 2, 2, 3])), Error::DType { .. }));
    assert!(matches!(backward(&zeros(DType::BF16, [2, 2, 3, 3])), Error::ShapeMismatch { .. }));
}
