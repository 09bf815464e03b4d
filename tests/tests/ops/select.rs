//! Batches of a dataset in an order, by a clock that advances.

use nasrl_tensor::ops::select;
use nasrl_tensor::{DType, Error, Memory, Tensor};
use nasrl_tests::Inputs;

use crate::{Device, backends};

fn list(on: &Device, numbers: &[u32]) -> Tensor<Device> {
    Tensor::from_slice(on, [numbers.len()], numbers).unwrap()
}

fn numbers(tensor: &Tensor<Device>) -> Vec<u32> {
    tensor.to_vec().unwrap()
}

#[test]
fn batches_come_one_after_another() {
    for on in backends() {
        for (images, count) in [(1, 1), (13, 5), (1000, 300), (1000, 256)] {
            let mut inputs = Inputs::new(1);
            let order = inputs.indices(images, images);
            let labels = inputs.indices(images, 1 << 31);
            // The step before the first of a training, which was 6, and the row before the first.
            let mut clock = list(&on, &[5, u32::MAX]);
            for (row, expected) in order.chunks_exact(count).enumerate() {
                let operands = (list(&on, &order), list(&on, &labels));
                let [found, of_images] =
                    select(&operands.0, &operands.1, count, &mut clock).unwrap();
                let what = format!("batch {row} of {count} on {}", on.name());
                assert_eq!(numbers(&found), expected, "{what}");
                let label = |&image: &u32| labels[image as usize];
                let expected: Vec<u32> = expected.iter().map(label).collect();
                assert_eq!(numbers(&of_images), expected, "{what}");
                assert_eq!(numbers(&clock), [6 + row as u32, row as u32], "{what}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(on) = backends().pop() else { return };
    let (order, labels) = (list(&on, &[2, 0, 1]), list(&on, &[4, 5, 6]));
    let start = || list(&on, &[0, u32::MAX]);
    let refused = |order: &Tensor<_>, labels: &Tensor<_>, count, mut clock: Tensor<_>| {
        select(order, labels, count, &mut clock).unwrap_err()
    };
    let error = refused(&list(&on, &[2, 3, 1]), &labels, 2, start());
    assert!(matches!(error, Error::Index { position: 1, found: 3, bound: 3, .. }), "{error}");
    for (count, row) in [(4, u32::MAX), (2, 0), (3, 0), (1, 2), (1, u32::MAX - 1)] {
        let error = refused(&order, &labels, count, list(&on, &[0, row]));
        assert!(matches!(error, Error::Parameter { .. }), "{count} after {row}: {error}");
    }
    assert!(matches!(refused(&order, &labels, 1, list(&on, &[0])), Error::ShapeMismatch { .. }));
    let floats = Tensor::zeros(&on, DType::F32, [3]).unwrap();
    assert!(matches!(refused(&order, &floats, 1, start()), Error::DType { .. }));
    assert!(matches!(refused(&floats, &labels, 1, start()), Error::DType { .. }));
    let square = Tensor::zeros(&on, DType::U32, [1, 1]).unwrap();
    assert!(matches!(refused(&order, &square, 1, start()), Error::Shape { .. }));
}
