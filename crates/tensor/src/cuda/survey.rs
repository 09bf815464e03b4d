//! What of CUDA a machine has.

use std::path::PathBuf;
use std::{fmt, fs};

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
    /// The compiler of kernels.
    pub nvrtc: Result<FoundNvrtc>,
    /// The kernels that were compiled before; `None` where no place is known for them.
    pub cache: Option<KernelsOnDisk>,
}

/// A library of NVRTC that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundNvrtc {
    /// Its version.
    pub version: CudaVersion,
    /// What it was opened as: a path, or a name that the dynamic linker knew.
    pub library: String,
}

/// Compiled kernels in the user's cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelsOnDisk {
    /// Their folder, which need not exist.
    pub folder: PathBuf,
    /// How many files there are.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
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
        let nvrtc = Nvrtc::load()
            .map(|nvrtc| FoundNvrtc { version: nvrtc.version, library: nvrtc.name.clone() });
        Survey { driver, gpus, nvrtc, cache: KernelCache::User.folder().map(KernelsOnDisk::of) }
    }
}

impl KernelsOnDisk {
    fn of(folder: PathBuf) -> Self {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let sizes: Vec<u64> =
            entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).collect();
        KernelsOnDisk { folder, files: sizes.len(), bytes: sizes.iter().sum() }
    }
}

impl fmt::Display for KernelsOnDisk {
    /// Without the folder.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files, {} KiB", self.files, self.bytes.div_ceil(1 << 10))
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
