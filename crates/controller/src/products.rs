//! The matrix products of forward and backward passes.

use nasrl_tensor::ops::{Matmul, Operand};

/// `[m, k] [k, n]`.
pub(crate) fn plain(m: usize, n: usize, k: usize) -> Matmul {
    Matmul { m, n, k, a: Operand::Plain, b: Operand::Plain }
}

/// `[k, m]^T [k, n]`.
pub(crate) fn left_transposed(m: usize, n: usize, k: usize) -> Matmul {
    Matmul { a: Operand::Transposed, ..plain(m, n, k) }
}

/// `[m, k] [n, k]^T`.
pub(crate) fn right_transposed(m: usize, n: usize, k: usize) -> Matmul {
    Matmul { b: Operand::Transposed, ..plain(m, n, k) }
}
