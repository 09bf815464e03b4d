//! The operations' tests on the emulator, which checks every access of every kernel: bounds, memory
//! that was never written, races within a block. Together they execute every kernel.

#[path = "../ops_cuda/conv2d_algorithms.rs"]
mod conv2d_algorithms;
#[path = "../ops/operations.rs"]
mod operations;

use nasrl_cuda_emulator::Options;
use nasrl_kernels::SOURCES;
use nasrl_tensor::Cuda;
use nasrl_tensor::ops::Conv2d;

/// What the backends of this program are.
type Device = Cuda;

/// Geometries on which the algorithms of convolution are compared: some, as checking takes long.
fn compared() -> impl Iterator<Item = Conv2d> {
    operations::conv2d::catalogue().into_iter().step_by(8)
}

/// The emulated GPU.
fn backends() -> Vec<Device> {
    let options = Options { checked: true, ..Options::default() };
    let gpus = nasrl_tests::emulated_as(&options);
    if !gpus.is_empty() {
        nasrl_tests::require_every_kernel(&options, SOURCES.iter().map(|source| source.name));
    }
    gpus
}

/// Two streams of the emulated GPU, which give the same bits.
fn alike() -> Vec<Device> {
    let gpus = backends().into_iter();
    gpus.flat_map(|gpu| [gpu.new_stream().expect("a stream"), gpu]).collect()
}
