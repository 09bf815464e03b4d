//! Zeros around images, and the images without them.

use nasrl_tensor::ops::{Padding, pad2d, pad2d_backward};
use nasrl_tensor::{DType, Error, Memory, Tensor};
use nasrl_tests::{FLOATS, Inputs, assert_equal, rounded, tensor, values};

use crate::backends;

/// Images and zeros above, below, before and after: none, a different number on each side, more
/// than the image, channels by eight, CIFAR-10's usual 4.
const PROBLEMS: [([usize; 4], [usize; 4]); 6] = [
    ([1, 1, 1, 1], [0, 0, 0, 0]),
    ([2, 3, 5, 7], [1, 2, 3, 0]),
    ([3, 4, 2, 1], [0, 3, 0, 1]),
    ([1, 2, 2, 3], [5, 0, 4, 7]),
    ([2, 3, 5, 16], [2, 1, 0, 3]),
    ([8, 32, 32, 3], [4, 4, 4, 4]),
];

/// For each element of the padded images, the element of the images that it is.
fn sources([n, h, w, c]: [usize; 4], [top, bottom, left, right]: [usize; 4]) -> Vec<Option<usize>> {
    let mut sources = vec![];
    for image in 0..n {
        for row in 0..top + h + bottom {
            for column in 0..left + w + right {
                for channel in 0..c {
                    let inside =
                        (top..top + h).contains(&row) && (left..left + w).contains(&column);
                    sources.push(
                        inside.then(|| ((image * h + row - top) * w + column - left) * c + channel),
                    );
                }
            }
        }
    }
    sources
}

#[test]
fn zeros_go_around_and_gradients_lose_them() {
    for backend in backends() {
        for (shape, sides) in PROBLEMS {
            let [top, bottom, left, right] = sides;
            let padding = Padding { top, bottom, left, right };
            let sources = sources(shape, sides);
            let mut inputs = Inputs::new(1);
            let x = inputs.uniform(shape.iter().product());
            let dy = inputs.uniform(sources.len());
            for dtype in FLOATS {
                let what = format!("{dtype} {shape:?} {sides:?} on {}", backend.name());
                let [x64, dy64] = [&x, &dy].map(|values| rounded(dtype, values));
                let y = pad2d(&tensor(&backend, dtype, shape, &x), padding).unwrap();
                let [n, h, w, c] = shape;
                let padded = [n, top + h + bottom, left + w + right, c];
                assert_eq!(y.shape(), padded.into(), "{what}");
                let expected: Vec<f64> =
                    sources.iter().map(|source| source.map_or(0.0, |i| x64[i])).collect();
                assert_equal(&what, &values(&y), &expected);
                let dx = pad2d_backward(&tensor(&backend, dtype, padded, &dy), padding).unwrap();
                assert_eq!(dx.shape(), shape.into(), "{what}");
                let mut expected = vec![0.0; x.len()];
                for (source, dy) in sources.iter().zip(&dy64) {
                    source.iter().for_each(|&i| expected[i] += dy);
                }
                assert_equal(&format!("gradient {what}"), &values(&dx), &expected);
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let x = Tensor::zeros(&device, DType::F32, [2, 3, 4, 5]).unwrap();
    let flat = x.reshape([6, 20]).unwrap();
    let padding = Padding { top: 2, bottom: 2, ..Padding::default() };
    assert!(matches!(pad2d(&flat, padding).unwrap_err(), Error::Shape { .. }));
    assert!(matches!(pad2d_backward(&flat, padding).unwrap_err(), Error::Shape { .. }));
    assert!(matches!(pad2d_backward(&x, padding).unwrap_err(), Error::Shape { .. }));
    let bytes = Tensor::zeros(&device, DType::U8, [2, 3, 4, 5]).unwrap();
    assert!(matches!(pad2d(&bytes, padding).unwrap_err(), Error::DType { .. }));
}
