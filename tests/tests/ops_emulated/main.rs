//! The operations' tests on the CUDA backend, whose kernels run on the emulator: host code and
//! kernels are those of a GPU, the driver and NVRTC are not.
//!
//! One of them, `coverage`, runs all the others again and looks at what they executed.

#[path = "../ops_cuda/conv2d_algorithms.rs"]
mod conv2d_algorithms;
mod coverage;
#[path = "../ops/operations.rs"]
mod operations;

use nasrl_cuda_emulator::Options;
use nasrl_tensor::Cuda;

/// Geometries on which the algorithms of convolution are compared.
use operations::conv2d::catalogue as compared;

/// What the backends of this program are.
type Device = Cuda;

/// The emulated GPU, which executes every launch in two more orders of blocks and threads.
fn backends() -> Vec<Device> {
    nasrl_tests::emulated_as(&Options { repeats: 2, ..Options::default() })
}

/// Two streams of the emulated GPU, which give the same bits.
fn alike() -> Vec<Device> {
    let gpus = backends().into_iter();
    gpus.flat_map(|gpu| [gpu.new_stream().expect("a stream"), gpu]).collect()
}
