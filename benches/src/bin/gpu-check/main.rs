//! Checks and measures a GPU: `gpu-check`, with the driver and NVRTC alone.
//!
//! Exits with 0 if all that was run went well, with 1 if results differ or something failed, with 2
//! if there is no GPU that can be used or the arguments are wrong.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use nasrl_benches::gpu_check::{
    Block, Budget, CheckError, Report, Request, Sizes, Verdict, default_folder, exit_status, once,
    run,
};
use nasrl_tensor::{Cuda, Memory};

/// Check and measure a GPU with nasrl's kernels.
///
/// Writes a JSON line a measurement as it goes, to standard output and to a file for each block.
/// Exits with 0 if all went well, with 1 if results differ or something failed, with 2 if there is
/// no GPU that can be used or the arguments are wrong.
#[derive(Parser)]
#[command(name = "gpu-check")]
struct Arguments {
    /// What to run.
    #[arg(value_enum, default_value_t = Command::All)]
    block: Command,

    /// The folder of the files. Default: benches/runs/DATE-GPU.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// The images of the search: a folder, as for `nasrl search`. Default: those that are embedded.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Instead of a block: run each operation whose name has these words twice, and time nothing,
    /// for a profiler. A name is such as `conv2d fprop 128 of 3x3 64-64 on 16x16 bf16`.
    #[arg(long, value_name = "WORDS", conflicts_with = "block")]
    once: Option<String>,

    /// Which GPU, from 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    device: usize,

    /// What is not begun in so many seconds is left out; blocks share them.
    #[arg(long, value_name = "N", default_value_t = 480)]
    seconds: u64,
}

/// A block, or all of them.
#[derive(Clone, Copy, ValueEnum)]
enum Command {
    /// Everything below, in this order.
    All,
    /// Driver, GPUs, NVRTC and the cache of kernels.
    Doctor,
    /// Every instruction that has no name in CUDA C++, by value.
    Instructions,
    /// Every operation against the processor.
    Parity,
    /// Copies, caches, tensor cores and matrix products.
    Ceilings,
    /// Kernels that do nothing: in a stream, in a graph, side by side.
    Launches,
    /// Every operation's speed, in per cent of the ceilings.
    Operations,
    /// Convolutions in every choice of tiles: which is fastest at which shape.
    Tiles,
    /// Training steps of six children of the reference space.
    Steps,
    /// 1, 2, 4, 8 and 16 children at once.
    Concurrency,
    /// What NVIDIA's profiler says of the longest kernels, if `ncu` is at hand.
    Profile,
    /// A search, controller and children on the GPU.
    Search,
}

fn main() -> ExitCode {
    let outcome = check(&Arguments::parse());
    if let Err(error) = &outcome {
        complain(error);
    }
    ExitCode::from(exit_status(&outcome))
}

fn check(arguments: &Arguments) -> Result<Verdict, CheckError> {
    let cuda = Cuda::new(arguments.device);
    if let Some(words) = &arguments.once {
        return once(&cuda.map_err(CheckError::NoGpu)?, &Sizes::real(), words);
    }
    let device = cuda.as_ref().map_or("no gpu".to_owned(), Memory::name);
    let folder = arguments.out.clone().unwrap_or_else(|| default_folder(&device));
    let request = Request {
        blocks: arguments.block.blocks(),
        ordinal: arguments.device,
        sizes: Sizes::real(),
        data: arguments.data.clone(),
        budget: Budget::new(Duration::from_secs(arguments.seconds)),
    };
    run(&request, cuda, &mut Report::new(folder, io::stdout()))
}

impl Command {
    fn blocks(self) -> Vec<Block> {
        match self {
            Command::All => Block::ALL.to_vec(),
            Command::Doctor => vec![Block::Doctor],
            Command::Instructions => vec![Block::Instructions],
            Command::Parity => vec![Block::Parity],
            Command::Ceilings => vec![Block::Ceilings],
            Command::Launches => vec![Block::Launches],
            Command::Operations => vec![Block::Operations],
            Command::Tiles => vec![Block::Tiles],
            Command::Steps => vec![Block::Steps],
            Command::Concurrency => vec![Block::Concurrency],
            Command::Profile => vec![Block::Profile],
            Command::Search => vec![Block::Search],
        }
    }
}

#[expect(clippy::print_stderr, reason = "what failed is for whoever ran it")]
fn complain(error: &CheckError) {
    eprintln!("gpu-check: {error}");
}
