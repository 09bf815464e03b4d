use super::Cuda;
use super::buffer::Argument;
use super::launch::Grid;
use super::module::kernels;
use super::product::Product;
use crate::Result;

kernels! { nasrl_kernels::MATMUL_MMA {
    SQUARES_OF_64: matmul_mma_64<bf16, f16>(read T, read T, write any; Product);
    SQUARES_OF_128: matmul_mma_128<bf16, f16>(read T, read T, write any; Product);
} }

/// Blocks that keep a GPU busy: with fewer, smaller squares make more of them.
const ENOUGH_BLOCKS: u64 = 264;

/// Bytes of shared memory for each row of both operands: three stages of 80.
const SHARED_A_ROW: u32 = 3 * 2 * 80;

impl Cuda {
    /// The product on the tensor cores; the operands are bf16 or f16 and suit it.
    pub(super) fn matmul_mma(&self, product: Product, arguments: [Argument<'_>; 3]) -> Result<()> {
        let squares = |size: u64| product.m.div_ceil(size) * product.n.div_ceil(size);
        let (kernel, size) = match squares(128) >= ENOUGH_BLOCKS {
            true => (&SQUARES_OF_128, 128),
            false => (&SQUARES_OF_64, 64),
        };
        let blocks = [squares(size) as usize, 1, 1];
        let grid = Grid { blocks, threads: 128, shared: SHARED_A_ROW * size as u32 };
        self.launch(kernel, grid, arguments, product)
    }
}
