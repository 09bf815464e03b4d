//! What of CUDA a machine has.

use std::path::PathBuf;

use super::cache::KernelCache;
use super::driver::During;
use super::nvrtc::Nvrtc;
use super::{Cuda, device_count, driver_version};
use crate::Result;
use crate::error::{CudaVersion, MemoryState};

/// What of CUDA this machine has; an error where something is missing says what to do.
#[derive(Debug)]
pub struct Survey {
    /// The driver's version.
    pub driver: Result<CudaVersion>,
    /// Each GPU that the driver shows, or why it cannot be used.
    pub gpus: Vec<Result<Gpu>>,
    /// The version of the compiler of kernels.
    pub nvrtc: Result<CudaVersion>,
    /// The folder of compiled kernels; `None` where no place is known for it.
    pub cache: Option<PathBuf>,
}

/// A GPU that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Such as `cuda:0 (NVIDIA H100)`.
    pub name: String,
    /// Major and minor, such as 9 and 0.
    pub compute_capability: (i32, i32),
    /// Its memory.
    pub memory: MemoryState,
}

impl Survey {
    /// Looks at everything; initialises the driver if there is one.
    pub fn take() -> Self {
        let driver = driver_version();
        let count = if driver.is_ok() { device_count() } else { Ok(0) };
        let gpus = match count {
            Ok(count) => (0..count).map(Gpu::look).collect(),
            Err(error) => vec![Err(error)],
        };
        let nvrtc = Nvrtc::load().map(|nvrtc| nvrtc.version);
        Survey { driver, gpus, nvrtc, cache: KernelCache::User.folder() }
    }
}

impl Gpu {
    fn look(ordinal: usize) -> Result<Gpu> {
        let cuda = Cuda::new(ordinal)?;
        let capability = cuda.device.context.compute_capability();
        Ok(Gpu {
            name: cuda.device.name.clone(),
            compute_capability: capability.during("cuDeviceGetAttribute")?,
            memory: cuda.memory()?,
        })
    }
}
