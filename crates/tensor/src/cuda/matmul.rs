use bytemuck::NoUninit;

use super::launch::Grid;
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{Matmul, MatmulBackend, Operand, Sum};

kernels! { nasrl_kernels::MATMUL {
    MATMUL: matmul<f32, bf16, f16>(read T, read T, write T; Product);
    MATMUL_TO_F32: matmul_to_f32<bf16, f16>(read T, read T, write f32; Product);
} }

/// The extents, and the distances of neighbours in a column and in a row of each operand.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Product {
    m: u64,
    n: u64,
    k: u64,
    a_row: u64,
    a_column: u64,
    b_row: u64,
    b_column: u64,
    add: u32,
    reserved: u32,
}

/// Rows and columns of the result that a block computes.
const TILE: usize = 64;

impl MatmulBackend for Cuda {
    fn matmul(
        &self,
        geometry: &Matmul,
        a: &Buffer,
        b: &Buffer,
        sum: Sum,
        c: &mut Buffer,
    ) -> Result<()> {
        let Matmul { m, n, k, .. } = *geometry;
        let strides = |operand, rows, columns| match operand {
            Operand::Plain => (columns as u64, 1),
            Operand::Transposed => (1, rows as u64),
        };
        let (a_row, a_column) = strides(geometry.a, m, k);
        let (b_row, b_column) = strides(geometry.b, k, n);
        let [m_of, n_of, k_of] = [m, n, k].map(|extent| extent as u64);
        let add = u32::from(sum == Sum::Add);
        let product = Product {
            m: m_of,
            n: n_of,
            k: k_of,
            a_row,
            a_column,
            b_row,
            b_column,
            add,
            reserved: 0,
        };
        let kernel = if a.dtype() == c.dtype() { &MATMUL } else { &MATMUL_TO_F32 };
        let grid = Grid::blocks(m.div_ceil(TILE) * n.div_ceil(TILE));
        self.launch(kernel, grid, [a.read(m * k), b.read(k * n), c.write(m * n)], product)
    }
}
