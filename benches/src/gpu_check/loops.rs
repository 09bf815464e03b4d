use nasrl_tensor::cuda::{CustomKernels, Grid};
use nasrl_tensor::{DType, Memory};

use super::{Check, CheckError, Timing};

pub(super) const SOURCE: &str = include_str!("loops.cu");

/// How long the kernels loop that read the cache or keep tensor cores busy.
#[derive(Clone, Copy, Debug)]
pub struct Loops {
    /// Blocks of a kernel.
    pub blocks: usize,
    /// Rounds of a loop.
    pub rounds: u64,
}

/// A kernel of products on tensor cores: those of a round in each warp.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub(super) kernel: &'static str,
    rows: u64,
    columns: u64,
    depth: u64,
}

/// From registers, and from shared memory in the tiles that a warp may have.
pub(super) const PRODUCTS: [Product; 4] = [
    Product { kernel: "mma_registers", rows: 8 * 16, columns: 8, depth: 16 },
    Product { kernel: "mma_shared_64x64", rows: 64, columns: 64, depth: 64 },
    Product { kernel: "mma_shared_64x32", rows: 64, columns: 32, depth: 64 },
    Product { kernel: "mma_shared_32x64", rows: 32, columns: 64, depth: 64 },
];

const THREADS: usize = 256;
const WARPS: u64 = 8;
/// Two ones in bf16, of which all operands consist: sums are known, and exact.
const ONES: u32 = 0x3f80_3f80;
/// The words that the products read.
const OPERANDS: usize = 1536;

impl Product {
    /// Of all blocks and rounds.
    pub(super) fn flops(&self, loops: Loops) -> u64 {
        2 * self.rows * self.columns * self.depth * WARPS * loops.blocks as u64 * loops.rounds
    }

    /// The sum of a thread's elements.
    fn sum(&self, rounds: u64) -> f32 {
        (self.rows * self.columns / 32 * self.depth * rounds) as f32
    }
}

/// Times reading `bytes` in all rounds of a launch.
pub(super) fn read_cache(
    check: &Check<'_>,
    kernels: &CustomKernels,
    bytes: usize,
) -> Result<Timing, CheckError> {
    let Loops { blocks, rounds } = check.sizes.ceilings.loops;
    let words = bytes / 4;
    let pieces = (words / 4 / blocks).div_ceil(THREADS) as u64 * rounds;
    time(check, kernels, ("l2_read", words), (4 * pieces as u32).wrapping_mul(ONES))
}

/// Times all products of a launch.
pub(super) fn multiply(
    check: &Check<'_>,
    kernels: &CustomKernels,
    product: Product,
) -> Result<Timing, CheckError> {
    let expected = product.sum(check.sizes.ceilings.loops.rounds).to_bits();
    time(check, kernels, (product.kernel, OPERANDS), expected)
}

/// Times a kernel with so many words of operands, whose first thread has to give the bits that are
/// expected.
fn time(
    check: &Check<'_>,
    kernels: &CustomKernels,
    (name, words): (&'static str, usize),
    expected: u32,
) -> Result<Timing, CheckError> {
    let (cuda, Loops { blocks, rounds }) = (check.cuda, check.sizes.ceilings.loops);
    let kernel = kernels.kernel(name)?;
    let mut x = cuda.zeros(DType::U32, words)?;
    cuda.write(&vec![ONES; words], &mut x)?;
    let mut y = cuda.zeros(DType::U32, blocks * THREADS)?;
    let timing = check.time(|| {
        let geometry = [words as u64, rounds];
        // SAFETY: the kernel reads the words of `x`, of which the products need no more than there
        // are, and writes a word a thread to `y`.
        unsafe { cuda.launch_custom(&kernel, Grid::blocks(blocks), &[&x], &mut [&mut y], geometry) }
    })?;
    let mut found = vec![0u32; blocks * THREADS];
    cuda.read(&y, &mut found)?;
    match found[0] {
        found if found == expected => Ok(timing),
        found => Err(CheckError::WrongLoop { kernel: name, found, expected }),
    }
}
