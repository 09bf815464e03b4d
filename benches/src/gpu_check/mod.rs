//! `gpu-check`: what a GPU does right and how fast, in blocks that a GPU's owner runs with the
//! driver and NVRTC alone.
//!
//! Each [`Block`] writes one JSON line a measurement to a file of its own as it goes, so that what
//! was measured stays if a later block does not come to its end. A block is a function over a
//! [`Cuda`] and its sizes: tests run each on the emulator, at sizes that are small.

mod blocks;
mod budget;
mod ceilings;
mod children;
mod concurrency;
mod doctor;
mod error;
mod instructions;
mod launches;
mod layer;
mod loops;
mod operations;
mod parity;
mod predictions;
mod profile;
mod report;
mod search;
mod sizes;
mod steps;
mod summary;
mod tile_words;
mod tiles;
mod timing;

use nasrl_tensor::{Cuda, Error, Memory, Record};

pub use blocks::{Request, Verdict, exit_status, run};
pub use budget::Budget;
pub use ceilings::{CeilingSizes, Ceilings, ceilings};
pub use children::{CHILDREN, ChildSizes};
pub use concurrency::{ConcurrencySizes, concurrency};
pub use doctor::{Finding, doctor};
pub use error::CheckError;
pub use instructions::instructions;
pub use launches::{LaunchSizes, launches};
pub use loops::Loops;
pub use operations::{OperationSizes, operations};
pub use parity::{Verdicts, parity};
pub use predictions::{Prediction, Predictions};
pub use profile::{ProfileSizes, Profiled, once, profile};
pub use report::{Report, default_folder};
pub use search::{SearchSizes, search};
pub use sizes::Sizes;
pub use steps::steps;
pub use tiles::{TileSizes, tiles};
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
    /// Copies, caches, tensor cores and products: what everything else is compared with.
    Ceilings,
    /// Kernels that do nothing, one after another and side by side.
    Launches,
    /// Every operation's speed.
    Operations,
    /// The tiles of convolutions.
    Tiles,
    /// Training steps of whole children.
    Steps,
    /// Children side by side.
    Concurrency,
    /// What NVIDIA's profiler says of the longest kernels.
    Profile,
    /// A whole search.
    Search,
}

impl Block {
    /// All of them in the order in which they are worth running.
    pub const ALL: [Block; 11] = [
        Block::Doctor,
        Block::Instructions,
        Block::Parity,
        Block::Ceilings,
        Block::Launches,
        Block::Operations,
        Block::Tiles,
        Block::Steps,
        Block::Concurrency,
        Block::Profile,
        Block::Search,
    ];

    /// The command's and the file's name.
    pub fn name(self) -> &'static str {
        match self {
            Block::Doctor => "doctor",
            Block::Instructions => "instructions",
            Block::Parity => "parity",
            Block::Ceilings => "ceilings",
            Block::Launches => "launches",
            Block::Operations => "operations",
            Block::Tiles => "tiles",
            Block::Steps => "steps",
            Block::Concurrency => "concurrency",
            Block::Profile => "profile",
            Block::Search => "search",
        }
    }

    /// What it may take of the eight minutes of all; kernels are compiled in the earlier ones.
    pub fn seconds(self) -> u32 {
        match self {
            Block::Doctor => 0,
            Block::Instructions => 10,
            Block::Parity => 90,
            Block::Ceilings => 25,
            Block::Launches => 10,
            Block::Operations => 90,
            Block::Tiles => 75,
            Block::Steps => 65,
            Block::Concurrency => 45,
            Block::Profile => 30,
            Block::Search => 40,
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

impl Check<'_> {
    /// Times work that is queued on the GPU's stream.
    ///
    /// # Errors
    /// Those of `run` and of the GPU.
    fn time<E: From<nasrl_tensor::Error>>(
        &self,
        run: impl FnMut() -> Result<(), E>,
    ) -> Result<Timing, E> {
        self.sizes.sampling.time(self.budget, run, || Ok(self.cuda.synchronize()?))
    }

    /// Times work that was done once before as a part of a graph, as in a step of a child: without
    /// what the host takes to ask for it. `None` if it cannot be recorded.
    ///
    /// # Errors
    /// Those of `run` and of the GPU.
    fn time_recorded(
        &self,
        sampling: Sampling,
        mut run: impl FnMut() -> nasrl_tensor::Result<()>,
    ) -> nasrl_tensor::Result<Option<Timing>> {
        let (cuda, repeats) = (self.cuda, sampling.recorded.max(1));
        let recording = match cuda.record(|| (0..repeats).try_for_each(|_| run())) {
            Ok(Some(recording)) => recording,
            Ok(None) | Err(Error::NotRecordable { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let replay = || cuda.replay(&recording);
        let timing = sampling.time(self.budget, replay, || cuda.synchronize())?;
        Ok(Some(timing.divided(repeats)))
    }
}

#[cfg(test)]
mod tests {
    use nasrl_tensor::cuda::compile;

    use super::{instructions, launches, loops};

    /// With the compiler of a GPU, where there is one: the emulator never sees PTX.
    #[test]
    fn every_source_compiles_and_no_kernel_spills() {
        for (name, text, kernel) in [
            ("instructions.cu", instructions::SOURCE, "mma_bf16"),
            ("loops.cu", loops::SOURCE, "mma_shared_64x64"),
            ("launches.cu", launches::SOURCE, "empty"),
        ] {
            for architecture in ["sm_80", "sm_90a"] {
                match compile(name, text, architecture) {
                    Ok(compiled) => {
                        assert!(compiled.log.contains(kernel), "{}", compiled.log);
                        let spills = compiled.log.lines().filter(|line| line.contains("spill"));
                        for line in spills {
                            assert!(line.contains(" 0 bytes spill stores"), "{}", compiled.log);
                        }
                    }
                    Err(missing @ nasrl_tensor::Error::NoNvrtc { .. }) => {
                        let required = std::env::var_os("NASRL_REQUIRE_NVRTC").is_some();
                        assert!(!required, "{missing}");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}
