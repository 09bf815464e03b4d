//! Checks and measures a GPU: `gpu-check all`, with the driver and NVRTC alone.
//!
//! Exits with 0 if all that was run went well, with 1 if results differ or something failed, with 2
//! if there is no GPU that can be used.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use nasrl_benches::gpu_check::{
    Block, Budget, Ceilings, Check, CheckError, Finding, Report, Sizes, ceilings, concurrency,
    default_folder, doctor, instructions, operations, parity, search, steps,
};
use nasrl_tensor::{Cuda, Memory};

/// Check and measure a GPU with nasrl's kernels.
///
/// Writes a JSON line a measurement as it goes, to standard output and to a file for each block.
#[derive(Parser)]
#[command(name = "gpu-check")]
struct Arguments {
    /// What to run.
    #[arg(value_enum)]
    block: Command,

    /// The folder of the files. Default: benches/runs/DATE-GPU.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// The images of the search: a folder, as for `nasrl search`. Default: those that are embedded.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Which GPU, from 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    device: usize,

    /// What is not begun after so many seconds is left out.
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
    /// Copies, launches and matrix products.
    Ceilings,
    /// Every operation's speed, in per cent of the ceilings.
    Operations,
    /// Training steps of six children of the reference space.
    Steps,
    /// 1, 2, 4 and 8 children at once.
    Concurrency,
    /// A search, controller and children on the GPU.
    Search,
}

/// What came of a block.
enum Outcome {
    Good,
    Bad,
}

/// No GPU that can be used.
const NO_GPU: u8 = 2;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, CheckError> {
    let budget = Budget::new(Duration::from_secs(arguments.seconds));
    let cuda = Cuda::new(arguments.device);
    let device = cuda.as_ref().map_or("no gpu".to_owned(), Memory::name);
    let folder = arguments.out.clone().unwrap_or_else(|| default_folder(&device));
    let mut report = Report::new(folder, io::stdout());
    let blocks = arguments.block.blocks();
    let findings = match blocks.contains(&Block::Doctor) {
        true => doctor(&mut report)?,
        false => Vec::new(),
    };
    let cuda = match cuda {
        Ok(cuda) => cuda,
        Err(error) => {
            failed(&error);
            return Ok(ExitCode::from(NO_GPU));
        }
    };
    let mut bad = findings.iter().any(|Finding { usable, .. }| !usable);
    let mut sizes = Sizes::real();
    if let Some(data) = &arguments.data {
        sizes.search.data = data.display().to_string();
    }
    let mut check = Check {
        cuda: &cuda,
        ordinal: arguments.device,
        sizes: &sizes,
        report: &mut report,
        budget,
    };
    let mut measured = None;
    for block in blocks {
        match one(block, &mut check, &mut measured) {
            Ok(Outcome::Good) => {}
            Ok(Outcome::Bad) => bad = true,
            // The next block may well work, unless nothing can be written.
            Err(error @ CheckError::Report { .. }) => return Err(error),
            Err(error) => {
                failed(&error);
                bad = true;
            }
        }
    }
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn one(
    block: Block,
    check: &mut Check<'_>,
    measured: &mut Option<Ceilings>,
) -> Result<Outcome, CheckError> {
    let failures = match block {
        // Was first, without a GPU.
        Block::Doctor => 0,
        Block::Instructions => instructions(check)?,
        Block::Parity => parity(check)?.differ,
        Block::Ceilings => {
            *measured = Some(ceilings(check)?);
            0
        }
        Block::Operations => {
            let measured = match measured.take() {
                Some(measured) => measured,
                None => ceilings(check)?,
            };
            operations(check, &measured)?
        }
        Block::Steps => steps(check)?,
        Block::Concurrency => concurrency(check)?,
        Block::Search => search(check)?,
    };
    Ok(if failures == 0 { Outcome::Good } else { Outcome::Bad })
}

impl Command {
    fn blocks(self) -> Vec<Block> {
        match self {
            Command::All => Block::ALL.to_vec(),
            Command::Doctor => vec![Block::Doctor],
            Command::Instructions => vec![Block::Instructions],
            Command::Parity => vec![Block::Parity],
            Command::Ceilings => vec![Block::Ceilings],
            Command::Operations => vec![Block::Operations],
            Command::Steps => vec![Block::Steps],
            Command::Concurrency => vec![Block::Concurrency],
            Command::Search => vec![Block::Search],
        }
    }
}

#[expect(clippy::print_stderr, reason = "what failed is for whoever ran it")]
fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("gpu-check: {error}");
    ExitCode::FAILURE
}
