//! `y = table[index]` and `dtable[index] += dy`.

use nasrl_tensor::ops::{embedding, embedding_backward};
use nasrl_tensor::{Error, Memory, Tensor};
use nasrl_tests::{Inputs, assert_equal, backends};

#[test]
fn rows_are_looked_up_and_their_gradients_gathered() {
    let mut inputs = Inputs::new(31);
    for [count, rows, width] in [[1, 1, 1], [5, 3, 7], [64, 9, 32], [700, 31, 33]] {
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
            let beyond = Tensor::from_slice(&backend, 1, &[rows as u32]).unwrap();
            assert!(matches!(embedding(&table, &beyond), Err(Error::Index { .. })));
        }
    }
}
