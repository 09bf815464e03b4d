//! Every operation of `nasrl-tensor` against naive loops in f64, on the CPU.
//!
//! The tests of an operation stand in one file, which `ops_cuda` shares: it runs on the backends
//! that its program's root gives.

mod activation;
mod add;
mod attention;
mod augment;
mod batch_norm;
mod bernoulli;
mod bias;
mod categorical;
mod clip;
mod concat;
mod conv2d;
mod cross_entropy;
mod dropout;
mod embedding;
mod global_average_pool;
mod lstm_cell;
mod matmul;
mod memory;
mod optimizer;
mod pad;
mod pool;
mod softmax;

use nasrl_tensor::Cpu;

/// What the backends of this program are.
type Device = Cpu;

/// Every backend of this program that can run here.
fn backends() -> Vec<Device> {
    nasrl_tests::backends()
}

/// Backends of one device that give the same bits.
fn alike() -> Vec<Device> {
    [1, 2, 5].map(|threads| Cpu::with_threads(threads).expect("few threads")).into()
}
