//! Channels side by side, and apart again.

use nasrl_tensor::ops::{ChannelRange, ConcatBackend, CopyChannels, Sum, concat, concat_backward};
use nasrl_tensor::{DType, Error, Memory, Tensor};
use nasrl_tests::{FLOATS, Inputs, assert_equal, rounded, tensor, values};

use crate::{Device, backends};

/// Maps, and the channels of the inputs: one input, one channel each, primes, multiples of eight,
/// enough for threads.
const PROBLEMS: [([usize; 3], &[usize]); 5] = [
    ([1, 1, 1], &[1]),
    ([2, 3, 5], &[1, 1, 1]),
    ([3, 5, 7], &[7, 2, 16, 31]),
    ([2, 7, 5], &[8, 40, 16]),
    ([8, 16, 16], &[24, 36, 48]),
];

#[test]
fn channels_go_side_by_side_and_apart_again() {
    for backend in backends() {
        for ([n, h, w], widths) in PROBLEMS {
            let total: usize = widths.iter().sum();
            let rows = n * h * w;
            let whole = Inputs::new(1).uniform(rows * total);
            let slice = |first: usize, width: usize| -> Vec<f32> {
                let element = |i: usize| whole[i / width * total + first + i % width];
                (0..rows * width).map(element).collect()
            };
            let firsts: Vec<usize> = (0..widths.len()).map(|i| widths[..i].iter().sum()).collect();
            for dtype in FLOATS {
                let what = format!("{dtype} [{n}, {h}, {w}, {widths:?}] on {}", backend.name());
                let inputs: Vec<Tensor<_>> = (firsts.iter().zip(widths))
                    .map(|(&first, &c)| tensor(&backend, dtype, [n, h, w, c], &slice(first, c)))
                    .collect();
                let y = concat(&inputs.iter().collect::<Vec<_>>()).unwrap();
                assert_eq!(y.shape(), [n, h, w, total].into(), "{what}");
                assert_equal(&what, &values(&y), &rounded(dtype, &whole));
                let slices = concat_backward(&y, widths).unwrap();
                assert_eq!(slices.len(), inputs.len(), "{what}");
                for (found, input) in slices.iter().zip(&inputs) {
                    assert_eq!(found.shape(), input.shape(), "{what}");
                    assert_eq!(values(found), values(input), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_copy_adds_and_leaves_other_channels_alone() {
    for backend in backends() {
        for (dtype, size) in FLOATS.into_iter().flat_map(|dtype| [(dtype, 1), (dtype, 8)]) {
            let what = format!("{size} of {dtype} on {}", backend.name());
            // Each of the numbers stands for `size` channels.
            let wide = |values: &[f32]| -> Vec<f32> {
                values.iter().flat_map(|&value| vec![value; size]).collect()
            };
            let geometry = CopyChannels {
                rows: 2,
                channels: 2 * size,
                from: ChannelRange { first: size, width: 3 * size },
                to: ChannelRange { first: 2 * size, width: 5 * size },
            };
            let x = wide(&[9.0, 1.0, 2.0, 9.0, 3.0, 4.0, 9.0, 9.0]);
            let x = tensor(&backend, dtype, [x.len()], &x);
            let mut y = tensor(&backend, dtype, [12 * size], &vec![5.0; 12 * size]);
            let mut copy = |sum| {
                let into = y.buffer_mut().unwrap();
                backend.copy_channels(&geometry, x.buffer(), sum, into).unwrap();
                values(&y)
            };
            let stored = [5.0, 5.0, 1.0, 2.0, 5.0, 5.0, 5.0, 3.0, 4.0, 5.0, 5.0, 5.0];
            assert_eq!(copy(Sum::Store), wide(&stored), "{what}");
            let added = [5.0, 5.0, 2.0, 4.0, 5.0, 5.0, 5.0, 6.0, 8.0, 5.0, 5.0, 5.0];
            assert_eq!(copy(Sum::Add), wide(&added), "{what}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let zeros = |dtype, shape: [usize; 3]| Tensor::zeros(&device, dtype, shape).unwrap();
    let a = zeros(DType::F32, [2, 3, 4]);
    let refused = |b: Tensor<Device>| concat(&[&a, &b]).unwrap_err();
    assert!(matches!(concat::<Device>(&[]).unwrap_err(), Error::Parameter { .. }));
    assert!(matches!(refused(zeros(DType::F32, [3, 2, 4])), Error::ShapeMismatch { .. }));
    assert!(matches!(refused(a.reshape([6, 4]).unwrap()), Error::ShapeMismatch { .. }));
    assert!(matches!(refused(zeros(DType::BF16, [2, 3, 4])), Error::DType { .. }));
    assert!(matches!(refused(zeros(DType::F32, [2, 3, 0])), Error::Shape { .. }));
    for channels in [&[2, 1][..], &[4, 0], &[2, 3], &[]] {
        let error = concat_backward(&a, channels).unwrap_err();
        assert!(matches!(error, Error::Parameter { .. }), "{channels:?}");
    }
}
