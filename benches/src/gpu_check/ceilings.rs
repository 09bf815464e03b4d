use nasrl_tensor::ops::Operand;
use nasrl_tensor::{DType, Memory};
use serde::Serialize;

use super::loops::{self, Loops};
use super::{Block, Check, CheckError, Timing};
use crate::case::{Setting, Shapes, Values, Work};
use crate::operations::product;
use crate::uniform;

/// What [`ceilings`] measures.
#[derive(Clone, Debug)]
pub struct CeilingSizes {
    /// Bytes that are copied.
    pub copies: Vec<usize>,
    /// Bytes that are read again and again, as many as the second-level cache holds.
    pub cached: Vec<usize>,
    /// Of the kernels that loop.
    pub loops: Loops,
    /// Sides of square products.
    pub products: Vec<usize>,
}

/// The speeds that others are compared with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ceilings {
    /// Bytes that a copy moves, and how many a second in units of 10^9.
    pub bandwidth: Vec<(u64, f64)>,
    /// 10^9 operations a second of the best product of bf16.
    pub bf16: Option<f64>,
    /// 10^9 operations a second of the best product of f32.
    pub f32: Option<f64>,
}

#[derive(Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Ceiling {
    /// A copy within the GPU: as many bytes are read as are written.
    Copy { bytes: usize, gb_per_s: f64, timing: Timing },
    /// Reads of the second-level cache.
    Cache { bytes: usize, gb_per_s: f64, timing: Timing },
    /// Tensor cores in a loop over operands in registers, or in shared memory.
    TensorCores { kernel: &'static str, gflop_per_s: f64, timing: Timing },
    /// A product of square matrices by the backend's kernel.
    Product { dtype: String, side: usize, gflop_per_s: f64, timing: Timing },
}

/// Measures copies, reads of the cache, tensor cores and products.
///
/// # Errors
/// [`CheckError::Device`] and [`CheckError::Report`], and [`CheckError::WrongLoop`].
pub fn ceilings(check: &mut Check<'_>) -> Result<Ceilings, CheckError> {
    let mut ceilings = Ceilings::default();
    let sizes = check.sizes.ceilings.clone();
    for bytes in sizes.copies {
        if !check.budget.is_over() {
            let rate = copy(check, bytes)?;
            ceilings.bandwidth.push((2 * bytes as u64, rate));
        }
    }
    let kernels = check.cuda.custom_kernels("loops.cu", loops::SOURCE)?;
    for bytes in sizes.cached {
        if !check.budget.is_over() {
            let timing = loops::read_cache(check, &kernels, bytes)?;
            let gb_per_s = timing.giga_per_second(sizes.loops.rounds * bytes as u64);
            check.report.line(Block::Ceilings, &Ceiling::Cache { bytes, gb_per_s, timing })?;
        }
    }
    for product in loops::PRODUCTS {
        if !check.budget.is_over() {
            let timing = loops::multiply(check, &kernels, product)?;
            let gflop_per_s = timing.giga_per_second(product.flops(sizes.loops));
            let kernel = product.kernel;
            let line = Ceiling::TensorCores { kernel, gflop_per_s, timing };
            check.report.line(Block::Ceilings, &line)?;
        }
    }
    for side in sizes.products {
        for dtype in [DType::BF16, DType::F32] {
            if !check.budget.is_over() {
                let rate = square(check, dtype, side)?;
                let best = if dtype == DType::F32 { &mut ceilings.f32 } else { &mut ceilings.bf16 };
                *best = Some(best.map_or(rate, |best: f64| best.max(rate)));
            }
        }
    }
    Ok(ceilings)
}

impl Ceilings {
    /// The least time that some work takes by these ceilings in microseconds, if they were
    /// measured: bytes at the rate of the copy that moves about as many, operations at that of the
    /// best product.
    pub fn floor_us(&self, dtype: DType, work: Work) -> Option<f64> {
        let apart = |moved: u64| (moved as f64 / work.bytes.max(1) as f64).ln().abs();
        let copies = self.bandwidth.iter();
        let nearest = copies.min_by(|a, b| apart(a.0).total_cmp(&apart(b.0)))?.1;
        let products = if dtype == DType::F32 { self.f32 } else { self.bf16 };
        let computing = match work.flops {
            0 => 0.0,
            flops => flops as f64 / (products? * 1e3),
        };
        Some(computing.max(work.bytes as f64 / (nearest * 1e3)))
    }
}

fn copy(check: &mut Check<'_>, bytes: usize) -> Result<f64, CheckError> {
    let cuda = check.cuda;
    let len = bytes / DType::F32.size();
    let from = uniform(cuda, DType::F32, [len])?;
    let mut to = cuda.zeros(DType::F32, len)?;
    let timing = check.time(|| cuda.copy(len, from.buffer(), &mut to))?;
    let gb_per_s = timing.giga_per_second(2 * bytes as u64);
    check.report.line(Block::Ceilings, &Ceiling::Copy { bytes, gb_per_s, timing })?;
    Ok(gb_per_s)
}

fn square(check: &mut Check<'_>, dtype: DType, side: usize) -> Result<f64, CheckError> {
    let cuda = check.cuda;
    let shapes = Shapes::Small;
    let setting = Setting { on: cuda, dtype, shapes, values: Values::Uniform };
    let mut case = product(&setting, [side; 3], [Operand::Plain, Operand::Plain])?;
    let timing = check.time(|| case.run(cuda))?;
    let gflop_per_s = timing.giga_per_second(case.work.flops);
    let dtype = dtype.to_string();
    check.report.line(Block::Ceilings, &Ceiling::Product { dtype, side, gflop_per_s, timing })?;
    Ok(gflop_per_s)
}
