//! `y = table[index]` and `dtable[index] += dy`.

use nasrl_tensor::ops::{Embedding, EmbeddingBackend, embedding, embedding_backward};
use nasrl_tensor::{DType, Error, Memory, Tensor};
use nasrl_tests::{Inputs, assert_equal, elements};

use crate::{alike, backends};

#[test]
fn rows_are_looked_up_and_their_gradients_gathered() {
    let mut inputs = Inputs::new(31);
    for [count, rows, width] in [[1, 1, 1], [5, 3, 7], [64, 9, 32], [700, 31, 33], [33, 4, 300]] {
        let table = inputs.integers(rows * width, 9);
        let index = inputs.indices(count, rows);
        let dy = inputs.integers(count * width, 9);
        let mut expected = (vec![0.0; count * width], vec![0.0; rows * width]);
        for (i, &row) in index.iter().enumerate() {
            for j in 0..width {
                expected.0[i * width + j] = f64::from(table[row as usize * width + j]);
                expected.1[row as usize * width + j] += f64::from(dy[i * width + j]);
            }
        }
        for backend in backends() {
            let what = format!("{count} of {rows}x{width} on {}", backend.name());
            let table = Tensor::from_slice(&backend, [rows, width], &table).unwrap();
            let index = Tensor::from_slice(&backend, count, &index).unwrap();
            let dy = Tensor::from_slice(&backend, [count, width], &dy).unwrap();
            let y = embedding(&table, &index).unwrap();
            assert_equal(&what, &y.to_vec().unwrap(), &expected.0);
            let dtable = embedding_backward(&index, &dy, rows).unwrap();
            assert_equal(&what, &dtable.to_vec().unwrap(), &expected.1);
        }
    }
}

/// Sums that another order, or a start from anything but what is there, would round otherwise.
#[test]
fn gradients_are_added_in_order_to_what_is_there() {
    for device in backends() {
        let [mut index, mut dy, mut dtable] = [(DType::U32, 6), (DType::F32, 6), (DType::F32, 4)]
            .map(|(dtype, len)| device.zeros(dtype, len).unwrap());
        device.write(&[1u32, 0, 1, 1, 77, 77], &mut index).unwrap();
        device.write(&[1.0f32, 5.0, 1.0, -16_777_216.0, 9.0, 9.0], &mut dy).unwrap();
        device.write(&[2.0f32, 16_777_216.0, 8.0, 8.0], &mut dtable).unwrap();
        let geometry = Embedding { count: 4, width: 1 };
        device.embedding_backward(&geometry, &index, &dy, &mut dtable).unwrap();
        // 2^24 + 1 rounds to 2^24, twice.
        assert_eq!(elements::<f32, _>(&device, &dtable), [7.0, 0.0, 8.0, 8.0]);
    }
}

#[test]
fn backends_that_are_alike_give_the_same_bits() {
    let mut inputs = Inputs::new(32);
    let (table, dy) = (inputs.uniform(31 * 33), inputs.uniform(2003 * 33));
    let index = inputs.indices(2003, 31);
    let each = alike().into_iter().map(|device| {
        let table = Tensor::from_slice(&device, [31, 33], &table).unwrap();
        let index = Tensor::from_slice(&device, [2003], &index).unwrap();
        let dy = Tensor::from_slice(&device, [2003, 33], &dy).unwrap();
        let results =
            [embedding(&table, &index).unwrap(), embedding_backward(&index, &dy, 31).unwrap()];
        results.map(|tensor| tensor.to_vec::<f32>().unwrap())
    });
    let results: Vec<_> = each.collect();
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let zeros = |dtype, shape: [usize; 2]| Tensor::zeros(&device, dtype, shape).unwrap();
    let (table, dy) = (zeros(DType::F32, [3, 2]), zeros(DType::F32, [4, 2]));
    let index = Tensor::from_slice(&device, [4], &[2u32, 0, 1, 2]).unwrap();
    assert_eq!(embedding(&table, &index).unwrap().shape(), [4, 2].into());

    let beyond = Tensor::from_slice(&device, [4], &[2u32, 0, 3, 2]).unwrap();
    for error in
        [embedding(&table, &beyond).unwrap_err(), embedding_backward(&beyond, &dy, 3).unwrap_err()]
    {
        assert!(matches!(error, Error::Index { position: 2, found: 3, bound: 3, .. }), "{error}");
    }
    let line = Tensor::zeros(&device, DType::F32, [4]).unwrap();
    for error in [
        embedding(&zeros(DType::F32, [3, 0]), &index).unwrap_err(),
        embedding(&line, &index).unwrap_err(),
        embedding(&table, &index.reshape([2, 2]).unwrap()).unwrap_err(),
        embedding_backward(&index, &line, 3).unwrap_err(),
        embedding_backward(&index, &zeros(DType::F32, [4, 0]), 3).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    }
    let error = embedding_backward(&index, &zeros(DType::F32, [5, 2]), 3).unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
    for error in [
        embedding(&zeros(DType::BF16, [3, 2]), &index).unwrap_err(),
        embedding(&table, &line).unwrap_err(),
        embedding_backward(&index, &zeros(DType::F16, [4, 2]), 3).unwrap_err(),
        embedding_backward(&line, &dy, 3).unwrap_err(),
    ] {
        assert!(matches!(error, Error::DType { .. }), "{error}");
    }
}
