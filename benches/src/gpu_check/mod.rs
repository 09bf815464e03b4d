//! `gpu-check`: what a GPU does right and how fast, in blocks that a GPU's owner runs with the
//! driver and NVRTC alone.
//!
//! Each [`Block`] writes one JSON line a measurement to a file of its own as it goes, so that what
//! was measured stays if a later block does not come to its end. A block is a function over a
//! [`Cuda`] and its sizes: tests run each on the emulator, at sizes that are small.

mod budget;
mod ceilings;
mod children;
mod concurrency;
mod doctor;
mod error;
mod instructions;
mod operations;
mod parity;
mod report;
mod search;
mod sizes;
mod steps;
mod timing;

use nasrl_tensor::Cuda;

pub use budget::Budget;
pub use ceilings::{CeilingSizes, Ceilings, ceilings};
pub use children::{CHILDREN, ChildSizes};
pub use concurrency::{ConcurrencySizes, concurrency};
pub use doctor::{Finding, doctor};
pub use error::CheckError;
pub use instructions::instructions;
pub use operations::{OperationSizes, operations};
pub use parity::{Verdicts, parity};
pub use report::{Report, default_folder};
pub use search::{SearchSizes, search};
pub use sizes::Sizes;
pub use steps::steps;
pub use timing::{Sampling, Timing};

/// A part of the check, which is a command and a file of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Block {
    /// What of CUDA there is.
    Doctor,
    /// Every instruction of the prelude by value.
    Instructions,
    /// Every operation against the processor.
    Parity,
    /// Copies, launches and products: what everything else is compared with.
    Ceilings,
    /// Every operation's speed.
    Operations,
    /// Training steps of whole children.
    Steps,
    /// Children side by side.
    Concurrency,
    /// A whole search.
    Search,
}

impl Block {
    /// All of them in the order in which they are worth running.
    pub const ALL: [Block; 8] = [
        Block::Doctor,
        Block::Instructions,
        Block::Parity,
        Block::Ceilings,
        Block::Operations,
        Block::Steps,
        Block::Concurrency,
        Block::Search,
    ];

    /// The command's and the file's name.
    pub fn name(self) -> &'static str {
        match self {
            Block::Doctor => "doctor",
            Block::Instructions => "instructions",
            Block::Parity => "parity",
            Block::Ceilings => "ceilings",
            Block::Operations => "operations",
            Block::Steps => "steps",
            Block::Concurrency => "concurrency",
            Block::Search => "search",
        }
    }
}

/// What the blocks share.
pub struct Check<'a> {
    /// The GPU.
    pub cuda: &'a Cuda,
    /// Which GPU it is, from 0.
    pub ordinal: usize,
    /// What is measured.
    pub sizes: &'a Sizes,
    /// Where lines go.
    pub report: &'a mut Report,
    /// The time that is left.
    pub budget: Budget,
}
