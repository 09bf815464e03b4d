use bytemuck::NoUninit;

use crate::DType;
use crate::ops::{Matmul, Operand, Sum};

/// The geometry of `product.cuh`: the extents, and the distances of neighbours in a column and in a
/// row of each operand.
#[derive(Clone, Copy, Debug, NoUninit)]
#[repr(C)]
pub(super) struct Product {
    pub(super) m: u64,
    pub(super) n: u64,
    pub(super) k: u64,
    a_row: u64,
    a_column: u64,
    b_row: u64,
    b_column: u64,
    add: u32,
    c_is_f32: u32,
}

impl Product {
    pub(super) fn new(geometry: &Matmul, sum: Sum, c: DType) -> Self {
        let strides = |operand, rows, columns| match operand {
            Operand::Plain => (columns, 1),
            Operand::Transposed => (1, rows),
        };
        let [m, n, k] = [geometry.m, geometry.n, geometry.k].map(|extent| extent as u64);
        let (a_row, a_column) = strides(geometry.a, m, k);
        let (b_row, b_column) = strides(geometry.b, k, n);
        let (add, c_is_f32) = (u32::from(sum == Sum::Add), u32::from(c == DType::F32));
        Product { m, n, k, a_row, a_column, b_row, b_column, add, c_is_f32 }
    }

    /// Whether the rows in memory of both operands are whole vectors of 16 bytes.
    pub(super) fn suits_mma(&self) -> bool {
        let row = |stride: u64, other: u64| stride.max(other);
        row(self.a_row, self.a_column) % 8 == 0 && row(self.b_row, self.b_column) % 8 == 0
    }
}
