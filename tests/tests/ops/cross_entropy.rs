//! `loss = sum -ln softmax(x)[label] / divisor`, its gradient and the number of correct rows.

use nasrl_tensor::ops::{
    CrossEntropy, CrossEntropyBackend, CrossEntropyInputs, Rows, Sum, cross_entropy,
    cross_entropy_with_gradient,
};
use nasrl_tensor::{DType, Error, Memory, Tensor};
use nasrl_tests::{
    Inputs, Tolerance, assert_close, assert_equal, elements, finite_difference, rounded,
};

use crate::{Device, alike, backends};

/// Rows and classes: one of each, primes, a batch of CIFAR-10, a vocabulary, several blocks.
const SHAPES: [[usize; 2]; 8] =
    [[1, 1], [1, 7], [13, 2], [128, 10], [3, 10_007], [2003, 10], [9, 40], [2, 2056]];

fn loss(x: &[f64], labels: &[u32], classes: usize, divisor: f64) -> f64 {
    let mut loss = 0.0;
    for (row, &label) in x.chunks(classes).zip(labels) {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - max).exp()).sum();
        loss += (max + sum.ln() - row[label as usize]) / divisor;
    }
    loss
}

fn correct(x: &[f32], labels: &[u32], classes: usize) -> usize {
    let mut correct = 0;
    for (row, &label) in x.chunks(classes).zip(labels) {
        let mut best = 0;
        for (class, x) in row.iter().enumerate() {
            if *x > row[best] {
                best = class;
            }
        }
        correct += usize::from(best == label as usize);
    }
    correct
}

fn gradient(x: &[f64], labels: &[u32], classes: usize, divisor: f64) -> Vec<f64> {
    let mut dx = Vec::new();
    for (row, &label) in x.chunks(classes).zip(labels) {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - max).exp()).sum();
        for (class, x) in row.iter().enumerate() {
            let target = f64::from(u8::from(class == label as usize));
            dx.push(((x - max).exp() / sum - target) / divisor);
        }
    }
    dx
}

fn operands(backend: &Device, x: &[f32], labels: &[u32]) -> (Tensor<Device>, Tensor<Device>) {
    let rows = labels.len();
    (
        Tensor::from_slice(backend, [rows, x.len() / rows], x).unwrap(),
        Tensor::from_slice(backend, [rows], labels).unwrap(),
    )
}

/// Logits so far apart that the softmax is 0 or 1.
#[test]
fn certain_predictions_are_exact() {
    for backend in backends() {
        let x = [200.0, 0.0, -50.0, 0.0, 300.0, 0.0, 7e4, -7e4, 0.0];
        let (logits, labels) = operands(&backend, &x, &[0, 0, 1]);
        let (sums, dx) = cross_entropy_with_gradient(&logits, &labels, 4.0).unwrap();
        assert_eq!(sums.to_vec::<f32>().unwrap(), [(300.0 + 14e4) / 4.0, 1.0]);
        let expected = [0.0, 0.0, 0.0, -0.25, 0.25, 0.0, 0.25, -0.25, 0.0];
        assert_equal(&backend.name(), &dx.to_vec().unwrap(), &expected);
    }
}

#[test]
fn the_first_of_equal_logits_is_the_prediction() {
    for backend in backends() {
        let x = [1.0, 1.0, 0.0, 1.0, 1.0, 0.0, -2.0, 5.0, 5.0];
        for (labels, correct) in [([0, 0, 1], 3.0), ([1, 0, 2], 1.0), ([2, 1, 0], 0.0)] {
            let (logits, labels) = operands(&backend, &x, &labels);
            let sums = cross_entropy(&logits, &labels, 3.0).unwrap();
            assert_eq!(sums.to_vec::<f32>().unwrap()[1], correct);
        }
    }
}

#[test]
fn random_values_are_within_rounding() {
    for backend in backends() {
        for [rows, classes] in SHAPES {
            let what = format!("[{rows}, {classes}] on {}", backend.name());
            let mut inputs = Inputs::new(1);
            let x: Vec<f32> = inputs.uniform(rows * classes).iter().map(|x| 5.0 * x).collect();
            let labels = inputs.indices(rows, classes);
            let (logits, label_tensor) = operands(&backend, &x, &labels);
            let divisor = rows as f32;
            let sums = cross_entropy(&logits, &label_tensor, divisor).unwrap();
            let (both, dx) = cross_entropy_with_gradient(&logits, &label_tensor, divisor).unwrap();
            let sums: Vec<f32> = sums.to_vec().unwrap();
            assert_eq!(sums, both.to_vec::<f32>().unwrap(), "{what}");
            assert_eq!(sums[1], correct(&x, &labels, classes) as f32, "{what}");
            let (x, divisor) = (rounded(DType::F32, &x), f64::from(divisor));
            // Sums of both as many exponentials and as many losses, which are up to 20.
            let sum = Tolerance::sum(DType::F32, rows + classes);
            let tolerance = Tolerance { absolute: 20.0 * sum.absolute, relative: sum.relative };
            assert_close(&what, &sums[..1], &[loss(&x, &labels, classes, divisor)], tolerance);
            let expected = gradient(&x, &labels, classes, divisor);
            assert_close(
                &what,
                &dx.to_vec().unwrap(),
                &expected,
                Tolerance { absolute: sum.absolute / divisor, relative: 20.0 * sum.absolute },
            );
        }
    }
}

#[test]
fn the_gradient_agrees_with_finite_differences() {
    let (rows, classes) = (5, 7);
    let mut inputs = Inputs::new(2);
    let (x, labels) = (inputs.uniform(rows * classes), inputs.indices(rows, classes));
    let expected =
        finite_difference(&rounded(DType::F32, &x), 1e-5, |x| loss(x, &labels, classes, 5.0));
    for backend in backends() {
        let (logits, labels) = operands(&backend, &x, &labels);
        let (_, dx) = cross_entropy_with_gradient(&logits, &labels, 5.0).unwrap();
        let tolerance = Tolerance::FINITE_DIFFERENCE;
        assert_close(&backend.name(), &dx.to_vec().unwrap(), &expected, tolerance);
    }
}

/// Two blocks of a batch, of logits whose losses are multiples of 1/4 after the division.
#[test]
fn blocks_add_up() {
    for device in backends() {
        let x = [40.0, -60.0, -60.0, 40.0, 40.0, -60.0];
        let mut sums = device.zeros(DType::F32, 2).unwrap();
        let mut table = device.zeros(DType::F32, 8).unwrap();
        // Longer than the blocks, as the buffers of a compiled program are.
        let [mut logits, mut dlogits] = [9, 9].map(|len| device.zeros(DType::F32, len).unwrap());
        let mut labels = device.zeros(DType::U32, 5).unwrap();
        for (x, block_labels, sum) in
            [(&x[..4], [0u32, 0].as_slice(), Sum::Store), (&x[4..], &[0], Sum::Add)]
        {
            device.write(x, &mut logits).unwrap();
            device.write(block_labels, &mut labels).unwrap();
            let rows = Rows { count: block_labels.len(), channels: 2 };
            let geometry = CrossEntropy { rows, divisor: 4.0, sum };
            let mut clock = device.zeros(DType::U32, 2).unwrap();
            device.write(&[9u32, 2], &mut clock).unwrap();
            for (clock, sums) in [(None, &mut sums), (Some(&clock), &mut table)] {
                let inputs = || CrossEntropyInputs { logits: &logits, labels: &labels, clock };
                device
                    .cross_entropy_with_gradient(&geometry, inputs(), sums, &mut dlogits)
                    .unwrap();
                if sum == Sum::Add {
                    device.cross_entropy(&geometry, inputs(), sums).unwrap();
                }
            }
        }
        assert_eq!(elements::<f32, _>(&device, &sums), [25.0, 3.0]);
        let of_rows = [0.0, 0.0, 0.0, 0.0, 25.0, 3.0, 0.0, 0.0];
        assert_eq!(elements::<f32, _>(&device, &table), of_rows);
    }
}

#[test]
fn backends_that_are_alike_give_the_same_bits() {
    let mut inputs = Inputs::new(3);
    let (x, labels) = (inputs.uniform(20_011 * 10), inputs.indices(20_011, 10));
    let each = alike().into_iter().map(|on| {
        let (logits, labels) = operands(&on, &x, &labels);
        let alone = cross_entropy(&logits, &labels, 1.0).unwrap();
        let (sums, dx) = cross_entropy_with_gradient(&logits, &labels, 1.0).unwrap();
        [alone, sums, dx].map(|tensor| tensor.to_vec::<f32>().unwrap())
    });
    let sums: Vec<_> = each.collect();
    assert!(sums.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let (logits, labels) = operands(&device, &[0.0; 6], &[0, 2]);
    let refused = |logits: &Tensor<Device>, labels: &Tensor<Device>, divisor| {
        let one = cross_entropy(logits, labels, divisor).unwrap_err();
        let other = cross_entropy_with_gradient(logits, labels, divisor).unwrap_err();
        assert_eq!(std::mem::discriminant(&one), std::mem::discriminant(&other));
        one
    };
    for divisor in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(matches!(refused(&logits, &labels, divisor), Error::Parameter { .. }));
    }
    let half = logits.cast(DType::BF16).unwrap();
    assert!(matches!(refused(&half, &labels, 2.0), Error::DType { .. }));
    let floats = Tensor::zeros(&device, DType::F32, [2]).unwrap();
    assert!(matches!(refused(&logits, &floats, 2.0), Error::DType { .. }));
    assert!(matches!(refused(&floats, &labels, 2.0), Error::Shape { .. }));
    let three = Tensor::zeros(&device, DType::U32, [3]).unwrap();
    assert!(matches!(refused(&logits, &three, 2.0), Error::ShapeMismatch { .. }));
    let (_, labels) = operands(&device, &[0.0; 2], &[1, 3]);
    let error = refused(&logits, &labels, 2.0);
    assert!(matches!(error, Error::Index { position: 1, found: 3, bound: 3, .. }), "{error}");
}
