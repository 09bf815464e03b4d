//! The operations' tests on a GPU, where there is one.

mod conv2d_algorithms;
#[path = "../ops/operations.rs"]
mod operations;

use nasrl_tensor::Cuda;

/// Geometries on which the algorithms of convolution are compared.
use operations::conv2d::catalogue as compared;

/// What the backends of this program are.
type Device = Cuda;

/// The GPU, or nothing where there is none.
fn backends() -> Vec<Device> {
    nasrl_tests::gpus()
}

/// Two streams of the GPU, which give the same bits.
fn alike() -> Vec<Device> {
    let gpus = backends().into_iter();
    gpus.flat_map(|gpu| [gpu.new_stream().expect("a stream"), gpu]).collect()
}
