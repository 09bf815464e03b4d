//! `c = op(a) op(b)` and `c += op(a) op(b)`.

use half::bf16;
use nasrl_tensor::ops::{Operand, matmul, matmul_add};
use nasrl_tensor::{DType, Error, Memory, Tensor};
use nasrl_tests::{Inputs, Tolerance, assert_close, assert_equal};

use crate::{Device, backends};

const OPERANDS: [Operand; 2] = [Operand::Plain, Operand::Transposed];

/// `[m, n, k]`: single elements, primes, one past every tile, the controller's and a dense layer.
const EXTENTS: [[usize; 3]; 10] = [
    [1, 1, 1],
    [3, 5, 7],
    [1, 128, 64],
    [9, 128, 32],
    [25, 65, 33],
    [128, 10, 64],
    [7, 16, 144],
    [97, 101, 103],
    [300, 96, 40],
    [88, 72, 104],
];

struct Problem {
    extents: [usize; 3],
    a: Vec<f32>,
    b: Vec<f32>,
}

impl Problem {
    fn new(extents: [usize; 3], mut draw: impl FnMut(usize) -> Vec<f32>) -> Self {
        let [m, n, k] = extents;
        Problem { extents, a: draw(m * k), b: draw(k * n) }
    }

    fn reference(&self) -> Vec<f64> {
        let [m, n, k] = self.extents;
        let mut c = vec![0.0; m * n];
        for i in 0..m {
            for j in 0..n {
                for l in 0..k {
                    c[i * n + j] += f64::from(self.a[i * k + l]) * f64::from(self.b[l * n + j]);
                }
            }
        }
        c
    }

    fn operands(
        &self,
        backend: &Device,
        dtype: DType,
        layout: [Operand; 2],
    ) -> [Tensor<Device>; 2] {
        let [m, n, k] = self.extents;
        let tensor = |data: &[f32], rows, columns, operand| {
            let (shape, data) = match operand {
                Operand::Plain => ([rows, columns], data.to_vec()),
                Operand::Transposed => ([columns, rows], transposed(data, rows, columns)),
            };
            Tensor::from_slice(backend, shape, &data).unwrap().cast(dtype).unwrap()
        };
        [tensor(&self.a, m, k, layout[0]), tensor(&self.b, k, n, layout[1])]
    }
}

fn transposed(data: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|j| (0..rows).map(move |i| data[i * columns + j])).collect()
}

#[test]
fn integers_are_exact_in_every_layout() {
    let mut inputs = Inputs::new(21);
    for extents in EXTENTS {
        let problem = Problem::new(extents, |len| inputs.integers(len, 3));
        let expected = problem.reference();
        let twice: Vec<f64> = expected.iter().map(|c| 2.0 * c).collect();
        for backend in backends() {
            for layout in OPERANDS.iter().flat_map(|&a| OPERANDS.map(|b| [a, b])) {
                for dtype in [DType::F32, DType::BF16, DType::F16] {
                    let what = format!("{dtype} {layout:?} {extents:?} on {}", backend.name());
                    let [a, b] = problem.operands(&backend, dtype, layout);
                    let shape = [extents[0], extents[1]];
                    let mut c = Tensor::zeros(&backend, DType::F32, shape).unwrap();
                    for expected in [&expected, &twice] {
                        matmul_add(&a, layout[0], &b, layout[1], &mut c).unwrap();
                        assert_equal(&what, &c.to_vec().unwrap(), expected);
                    }
                    if dtype == DType::F32 {
                        let c = matmul(&a, layout[0], &b, layout[1]).unwrap();
                        assert_equal(&what, &c.to_vec().unwrap(), &expected);
                    }
                }
            }
        }
    }
}

/// Enough for the largest tiles of every backend.
#[test]
fn large_products_are_exact() {
    let Some(backend) = backends().pop() else { return };
    let extents @ [m, n, _] = [1928, 2304, 40];
    let mut inputs = Inputs::new(23);
    let problem = Problem::new(extents, |len| inputs.integers(len, 3));
    let expected = problem.reference();
    for (layout, dtype) in [
        ([Operand::Plain, Operand::Plain], DType::BF16),
        ([Operand::Plain, Operand::Transposed], DType::BF16),
        ([Operand::Transposed, Operand::Plain], DType::F16),
        ([Operand::Transposed, Operand::Transposed], DType::F16),
        ([Operand::Plain, Operand::Plain], DType::F32),
    ] {
        let [a, b] = problem.operands(&backend, dtype, layout);
        let mut c = Tensor::zeros(&backend, DType::F32, [m, n]).unwrap();
        matmul_add(&a, layout[0], &b, layout[1], &mut c).unwrap();
        assert_equal(&format!("{dtype} {layout:?}"), &c.to_vec().unwrap(), &expected);
    }
}

#[test]
fn random_values_are_within_the_error_of_their_sums() {
    let mut inputs = Inputs::new(22);
    for extents in EXTENTS {
        let problem = Problem::new(extents, |len| {
            inputs.uniform(len).into_iter().map(|x| bf16::from_f32(x).to_f32()).collect()
        });
        let expected = problem.reference();
        for backend in backends() {
            for dtype in [DType::F32, DType::BF16, DType::F16] {
                let [a, b] = problem.operands(&backend, dtype, [Operand::Plain; 2]);
                let c = matmul(&a, Operand::Plain, &b, Operand::Plain).unwrap();
                let c = c.cast(DType::F32).unwrap().to_vec().unwrap();
                let what = format!("{dtype} {extents:?} on {}", backend.name());
                assert_close(&what, &c, &expected, Tolerance::sum(dtype, extents[2]));
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(backend) = backends().pop() else { return };
    let zeros = |dtype, shape: [usize; 2]| Tensor::zeros(&backend, dtype, shape).unwrap();
    let (a, b) = (zeros(DType::F32, [2, 3]), zeros(DType::F32, [4, 5]));
    let error = matmul(&a, Operand::Plain, &b, Operand::Plain).unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { op: "matmul", .. }));
    let half = zeros(DType::BF16, [3, 5]);
    let error = matmul(&a, Operand::Plain, &half, Operand::Plain).unwrap_err();
    assert!(matches!(error, Error::DType { .. }));
    let tokens = zeros(DType::U32, [3, 5]);
    assert!(matches!(
        matmul(&tokens, Operand::Plain, &b, Operand::Plain),
        Err(Error::DType { .. })
    ));
}
