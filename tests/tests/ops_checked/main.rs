//! The operations' tests on the emulator, which checks every access of every kernel: bounds, memory
//! that was never written, races within a block.

#[path = "../ops/operations.rs"]
mod operations;

use nasrl_cuda_emulator::Options;
use nasrl_tensor::Cuda;

/// What the backends of this program are.
type Device = Cuda;

/// The emulated GPU.
fn backends() -> Vec<Device> {
    nasrl_tests::emulated_as(&Options { checked: true, ..Options::default() })
}

/// Two streams of the emulated GPU, which give the same bits.
fn alike() -> Vec<Device> {
    let gpus = backends().into_iter();
    gpus.flat_map(|gpu| [gpu.new_stream().expect("a stream"), gpu]).collect()
}
