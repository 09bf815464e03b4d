//! Every operation of `nasrl-tensor` against naive loops in f64, on the CPU.
//!
//! The tests of an operation stand in one file, which `ops_cuda` and `ops_emulated` share: it runs on
//! the backends that its program's root gives.

#[path = "operations.rs"]
mod operations;

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
