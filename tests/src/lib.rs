//! What the tests share: inputs from a seed, named tolerances, finite differences, an allocator that
//! counts and the list of backends that every operation's test runs on.
//!
//! The references themselves stand in the tests, as nested loops in `f64` that share no code with
//! what they check.

mod counting;
mod emulated;
mod executed;
mod floats;
mod gpu;
mod inputs;
pub mod pair;
mod tolerance;

pub use counting::Counting;
pub use emulated::{emulated, emulated_as};
pub use executed::{Executed, require_every_kernel};
pub use floats::{FLOATS, elements, rounded, tensor, values};
pub use gpu::gpus;
pub use inputs::{Inputs, finite_difference};
pub use tolerance::{Tolerance, assert_close, assert_equal};

use nasrl_tensor::Cpu;
use nasrl_tensor::cpu::Isa;

/// Every backend that can run here: each instruction set of this processor, in the calling thread
/// and on three threads.
pub fn backends() -> Vec<Cpu> {
    let isas = Isa::available();
    let threads = [1, 3];
    let each = |isa| threads.map(|threads| Cpu::with_threads(threads)?.with_isa(isa));
    let backends: nasrl_tensor::Result<Vec<Cpu>> = isas.into_iter().flat_map(each).collect();
    backends.expect("these instruction sets were detected, and three threads are few")
}
