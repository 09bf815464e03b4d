//! The CUDA backend: hand-written kernels, compiled when they are first used for the GPU that is
//! there.
//!
//! Nothing of CUDA is needed to build this crate. [`Cuda::new`] answers with an error where there
//! is no driver or GPU. An operation `ops/<name>.rs` is implemented by `cuda/<name>.rs`, which
//! declares the kernels of `<name>.cu` in the crate `nasrl-kernels` and launches them.

mod activation;
mod add;
mod attention;
mod augment;
mod batch_norm;
mod bernoulli;
mod bias;
mod buffer;
mod cache;
mod categorical;
mod classifier;
mod clip;
mod columns;
mod compiler;
mod concat;
mod conv2d;
mod cross_entropy;
mod custom;
mod device;
mod draw;
mod driver;
mod dropout;
mod embedding;
mod global_average_pool;
mod image;
mod images;
mod launch;
mod lstm_cell;
mod matmul;
mod matmul_mma;
mod memory;
mod memory_pool;
mod module;
mod nvrtc;
mod optimizer;
mod pad;
mod pieces;
mod pool;
mod product;
mod recording;
mod resident;
mod rows;
mod select;
mod softmax;
mod stream;
mod survey;
mod ticket;
mod wheel;

use std::sync::Arc;
use std::{env, fmt};

use cudarc::driver::CudaContext;
use cudarc::driver::sys::CUstream;

pub use buffer::Buffer;
pub use cache::KernelCache;
pub use compiler::{Compiled, compile};
pub use conv2d::{Conv2dAlgorithm, Conv2dPlan, Conv2dTiles, GatherTiles, Warps, WgradTiles};
pub use custom::{CustomKernel, CustomKernels};
pub use driver::{NEEDED_DRIVER, device_count, driver_version};
pub use launch::Grid;
pub use recording::Recording;
pub use survey::{FoundNvrtc, Gpu, KernelsOnDisk, Survey};

use crate::error::MemoryState;
use crate::{DType, Error, Result};
use buffer::Argument;
use device::Device;
use driver::During;
use module::Access;
use resident::Shared;
use stream::Stream;
use ticket::Ticket;

/// A stream of work on a GPU.
///
/// Operations are queued and return at once; reading a tensor waits for it. A failure of the GPU
/// itself may show in a later call than the one that caused it, see [`Launches`]. The same operands
/// give the same bits on one kind of GPU.
#[derive(Clone)]
pub struct Cuda {
    device: Arc<Device>,
    stream: Arc<Stream>,
    launches: Launches,
    ticket: Arc<Ticket>,
}

/// Elements in the memory of a GPU that all its streams read, see
/// [`Reside`](crate::Reside).
#[derive(Clone, Debug)]
pub struct Resident {
    dtype: DType,
    len: usize,
    shared: Arc<Shared>,
}

/// How [`Cuda`] is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CudaOptions {
    /// Which GPU, from 0.
    pub ordinal: usize,
    /// When operations return.
    pub launches: Launches,
    /// Where compiled kernels are kept.
    pub cache: KernelCache,
}

/// When an operation returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Launches {
    /// As soon as the GPU knows what to do.
    #[default]
    Queued,
    /// When each of its kernels is done, so that an error names the kernel that it came up in: for
    /// finding a bug.
    Awaited,
}

impl Cuda {
    /// A stream of its own on a GPU, counted from 0. Launches are awaited where the environment
    /// variable `CUDA_LAUNCH_BLOCKING`, which is CUDA's own, is 1.
    ///
    /// # Errors
    /// [`Error::NoDriver`], [`Error::DriverTooOld`], [`Error::NoDevice`],
    /// [`Error::UnsupportedDevice`], or [`Error::Cuda`] if the GPU cannot be used.
    pub fn new(ordinal: usize) -> Result<Self> {
        let launches = match env::var_os("CUDA_LAUNCH_BLOCKING") {
            Some(value) if value == "1" => Launches::Awaited,
            _ => Launches::Queued,
        };
        Self::with_options(&CudaOptions { ordinal, launches, cache: KernelCache::User })
    }

    /// A stream of its own on a GPU.
    ///
    /// # Errors
    /// Those of [`Cuda::new`].
    pub fn with_options(options: &CudaOptions) -> Result<Self> {
        let device = Arc::new(Device::open(options.ordinal, &options.cache)?);
        let stream = device.new_stream()?;
        let ticket = Arc::new(Ticket::new(&device, &stream)?);
        Ok(Cuda { device, stream, launches: options.launches, ticket })
    }

    /// Another stream on the same GPU, which shares the compiled kernels and whose work may run at
    /// the same time. Its tensors are its own: those of this stream get there by
    /// [`Tensor::to`](crate::Tensor::to).
    ///
    /// # Errors
    /// [`Error::Cuda`] if the GPU cannot be used.
    pub fn new_stream(&self) -> Result<Self> {
        let stream = self.device.new_stream()?;
        let ticket = Arc::new(Ticket::new(&self.device, &stream)?);
        Ok(Cuda { device: Arc::clone(&self.device), stream, launches: self.launches, ticket })
    }

    /// The memory of the GPU as it is now.
    ///
    /// # Errors
    /// [`Error::Cuda`] if the GPU cannot be used.
    pub fn memory(&self) -> Result<MemoryState> {
        self.device.context.bind_to_thread().during("cuCtxSetCurrent")?;
        self.device.pool.state()
    }

    /// Checks that an operand may be used as it is going to be, and keeps its memory for the
    /// recording that is being made.
    fn admit(&self, operand: &Argument<'_>) -> Result<()> {
        self.check_stream(operand.stream)?;
        let Some(memory) = operand.memory else { return Ok(()) };
        if operand.access == Access::Write && memory.is_read_only() {
            return Err(Error::ReadOnly { device: self.device.name.clone() });
        }
        self.stream.need(memory);
        Ok(())
    }

    /// A buffer is used on the stream that it was made on.
    fn check_stream(&self, stream: CUstream) -> Result<()> {
        if stream == self.stream.handle() {
            return Ok(());
        }
        let expected = format!("{} on stream {:?}", self.device.name, self.stream.handle());
        Err(Error::OtherDevice { found: format!("stream {stream:?}"), expected })
    }

    /// Memory is used on the device that it is of.
    fn check_context(&self, context: &CudaContext) -> Result<()> {
        if context.cu_ctx() == self.device.context.cu_ctx() {
            return Ok(());
        }
        let found = format!("cuda:{}", context.ordinal());
        Err(Error::OtherDevice { found, expected: self.device.name.clone() })
    }
}

impl fmt::Debug for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cuda({}, stream {:?})", self.device.name, self.stream.handle())
    }
}
