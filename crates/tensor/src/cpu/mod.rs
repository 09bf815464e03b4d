//! The CPU backend: explicit SIMD chosen at run time, threads by rayon.

mod activation;
mod add;
mod attention;
mod augment;
mod batch_norm;
mod bernoulli;
mod bias;
mod buffer;
mod categorical;
mod classifier;
mod clip;
mod columns;
mod concat;
mod conv2d;
mod cross_entropy;
mod curve;
mod dot;
mod dropout;
mod embedding;
mod exponential;
mod global_average_pool;
mod isa;
mod kernel;
mod lstm_cell;
mod matmul;
mod optimizer;
mod pad;
mod parallel;
mod pool;
mod scratch;
mod select;
mod simd;
mod softmax;

use std::convert::Infallible;
use std::sync::Arc;

pub use buffer::Buffer;
pub use conv2d::{Conv2dAlgorithm, Conv2dPlan};
pub use isa::Isa;

use crate::{DType, Element, Error, Memory, Record, Reside, Result};
use columns::{Pass, Same};

/// A CPU: an instruction set and the threads that operations may use.
///
/// The same operands give the same bits with any number of threads; results of two instruction
/// sets differ by rounding.
#[derive(Clone, Debug)]
pub struct Cpu {
    isa: Isa,
    threads: Threads,
    conv2d: Conv2dAlgorithm,
}

#[derive(Clone, Debug)]
enum Threads {
    /// The calling thread alone.
    One,
    /// rayon's global pool.
    Global,
    /// A pool of this backend's own.
    Own(Arc<rayon::ThreadPool>),
}

impl Cpu {
    /// The best instruction set of this processor and rayon's global thread pool.
    pub fn new() -> Self {
        Self::on(Threads::Global)
    }

    /// Operations run in the thread that calls them, which is what a caller wants who
    /// parallelises over larger pieces.
    pub fn serial() -> Self {
        Self::on(Threads::One)
    }

    /// Operations use a pool of `threads` threads, made for this backend and its clones.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `threads` is 0 or the operating system refuses them.
    pub fn with_threads(threads: usize) -> Result<Self> {
        let refused = |rule| Error::Parameter {
            op: "Cpu::with_threads",
            name: "threads",
            value: threads.to_string(),
            rule,
        };
        match threads {
            0 => Err(refused("at least 1")),
            1 => Ok(Self::serial()),
            _ => {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .map_err(|_| refused("as many as the system allows"))?;
                Ok(Self::on(Threads::Own(Arc::new(pool))))
            }
        }
    }

    /// The same threads with another instruction set.
    ///
    /// # Errors
    /// [`Error::UnsupportedIsa`] if this processor does not have it.
    pub fn with_isa(self, isa: Isa) -> Result<Self> {
        isa.check()?;
        Ok(Cpu { isa, ..self })
    }

    /// The same with a choice of how convolutions are computed.
    pub fn with_conv2d(self, conv2d: Conv2dAlgorithm) -> Self {
        Cpu { conv2d, ..self }
    }

    fn on(threads: Threads) -> Self {
        Cpu { isa: Isa::best(), threads, conv2d: Conv2dAlgorithm::default() }
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory for Cpu {
    type Buffer = Buffer;

    fn name(&self) -> String {
        format!("cpu ({})", self.isa)
    }

    fn zeros(&self, dtype: DType, len: usize) -> Result<Buffer> {
        Buffer::zeros(dtype, len).ok_or_else(|| Error::OutOfMemory {
            device: self.name(),
            asked: len.saturating_mul(dtype.size()),
            memory: None,
        })
    }

    fn write<T: Element>(&self, data: &[T], to: &mut Buffer) -> Result<()> {
        to.slice_mut::<T>()[..data.len()].copy_from_slice(data);
        Ok(())
    }

    fn read<T: Element>(&self, from: &Buffer, data: &mut [T]) -> Result<()> {
        data.copy_from_slice(&from.slice::<T>()[..data.len()]);
        Ok(())
    }

    fn copy(&self, len: usize, from: &Buffer, to: &mut Buffer) -> Result<()> {
        let bytes = len * from.dtype().size();
        to.bytes_mut()[..bytes].copy_from_slice(&from.bytes()[..bytes]);
        Ok(())
    }

    fn cast(&self, len: usize, from: &Buffer, to: &mut Buffer) -> Result<()> {
        with_float!("cast", from, T => with_float!("cast", to, U => {
            let from = &from.slice::<T>()[..len];
            self.chunks(&mut to.slice_mut::<U>()[..len], 1, |first, to| {
                let (channels, inputs) = (1, [&from[first..][..to.len()]]);
                let pass = Pass { channels, inputs, lines: [], sums: [], output: Some(to) };
                pass.run(self, Same);
            });
        }));
        Ok(())
    }

    fn clear(&self, len: usize, buffer: &mut Buffer) -> Result<()> {
        let bytes = len * buffer.dtype().size();
        buffer.bytes_mut()[..bytes].fill(0);
        Ok(())
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    fn dtype(buffer: &Buffer) -> DType {
        buffer.dtype()
    }

    fn capacity(buffer: &Buffer) -> usize {
        buffer.capacity()
    }
}

impl Record for Cpu {
    type Recording = Infallible;

    fn record(&self, _: impl FnOnce() -> Result<()>) -> Result<Option<Infallible>> {
        Ok(None)
    }

    fn replay(&self, recording: &Infallible) -> Result<()> {
        match *recording {}
    }
}

impl Reside for Cpu {
    type Resident = Infallible;

    fn reside<T: Element>(&self, _: &[T]) -> Result<Option<Infallible>> {
        Ok(None)
    }

    fn attach(&self, resident: &Infallible) -> Result<Buffer> {
        match *resident {}
    }
}

/// Evaluates the body with `T` as the Rust type of the buffer's float dtype; returns
/// [`Error::DType`] from the enclosing function for an integer buffer.
macro_rules! with_float {
    ($op:expr, $buffer:expr, $T:ident => $body:expr) => {
        match $buffer.dtype() {
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::BF16 => {
                type $T = ::half::bf16;
                $body
            }
            $crate::DType::F16 => {
                type $T = ::half::f16;
                $body
            }
            found => {
                let expected = "f32, bf16 or f16";
                return Err($crate::Error::DType { op: $op, found, expected });
            }
        }
    };
}
use with_float;
