//! An emulator of two small GPUs, for tests of the host's side that have a process of their own.

use nasrl_cuda_emulator::{Emulator, Options, install};
use nasrl_tensor::Cuda;
use nasrl_tensor::cuda::{CudaOptions, KernelCache};

/// Bytes of each GPU.
pub const MEMORY: usize = 64 << 20;

/// The emulator.
///
/// # Panics
/// If the emulator cannot be installed.
pub fn emulator() -> &'static Emulator {
    let options = Options { devices: 2, memory: MEMORY, print: false, ..Options::default() };
    install(&options).expect("an emulator")
}

/// A stream of its own on one of the GPUs.
///
/// # Panics
/// As [`emulator`].
pub fn gpu(ordinal: usize) -> Cuda {
    emulator();
    let cache = KernelCache::Nowhere;
    let options = CudaOptions { ordinal, cache, ..CudaOptions::default() };
    Cuda::with_options(&options).expect("an emulated GPU")
}
