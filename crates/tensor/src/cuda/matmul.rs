use super::launch::Grid;
use super::module::kernels;
use super::product::Product;
use super::{Buffer, Cuda};
use crate::ops::{Matmul, MatmulBackend, Sum};
use crate::{DType, Result};

kernels! { nasrl_kernels::MATMUL {
    MATMUL: matmul<f32, bf16, f16>(read T, read T, write T; Product);
    MATMUL_TO_F32: matmul_to_f32<bf16, f16>(read T, read T, write f32; Product);
} }

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
        let product = Product::new(geometry, sum, c.dtype());
        let same = a.dtype() == c.dtype();
        let arguments = [a.read(m * k), b.read(k * n), c.write(m * n)];
        if a.dtype() != DType::F32 && product.suits_mma() {
            return self.matmul_mma(product, arguments);
        }
        let kernel = if same { &MATMUL } else { &MATMUL_TO_F32 };
        let grid = Grid::blocks(m.div_ceil(TILE) * n.div_ceil(TILE));
        self.launch(kernel, grid, arguments, product)
    }
}
