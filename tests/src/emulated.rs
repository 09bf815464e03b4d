use std::sync::OnceLock;

use nasrl_cuda_emulator::{Error, Options};
use nasrl_tensor::Cuda;
use nasrl_tensor::cuda::{CudaOptions, KernelCache, Launches};

use crate::executed::install_or_count;

/// A stream of its own on the emulated GPU of this process, or nothing, which it says once, on a
/// machine that the emulator is not for. Launches are awaited, so that an error names its kernel.
///
/// # Panics
/// If the emulator cannot be installed, for want of a C++ compiler for example, or the process has
/// used a driver before.
pub fn emulated() -> Vec<Cuda> {
    emulated_as(&Options::default())
}

/// [`emulated`] with other options, which are the same in every call of a process.
///
/// # Panics
/// As [`emulated`].
pub fn emulated_as(options: &Options) -> Vec<Cuda> {
    static GPU: OnceLock<Option<Cuda>> = OnceLock::new();
    let stream = |gpu: &Cuda| gpu.new_stream().expect("a stream of an emulated GPU");
    GPU.get_or_init(|| first(options)).iter().map(stream).collect()
}

#[expect(clippy::print_stderr, reason = "whoever reads the tests' output should know")]
fn first(options: &Options) -> Option<Cuda> {
    match install_or_count(options) {
        Ok(_) => {
            // What the emulator compiles, it caches itself.
            let cache = KernelCache::Nowhere;
            let options = CudaOptions { ordinal: 0, launches: Launches::Awaited, cache };
            Some(Cuda::with_options(&options).expect("an emulated GPU"))
        }
        Err(error @ Error::Unsupported) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
