use std::path::PathBuf;
use std::time::Instant;

use nasrl_tensor::Cuda;
use serde::Serialize;

use super::{
    Block, Budget, Ceilings, Check, CheckError, Finding, Report, Sizes, ceilings, concurrency,
    doctor, instructions, launches, operations, parity, profile, search, steps, tiles,
};

/// What is run, and on what.
#[derive(Clone, Debug)]
pub struct Request {
    /// In this order.
    pub blocks: Vec<Block>,
    /// Which GPU, from 0.
    pub ordinal: usize,
    /// What is measured.
    pub sizes: Sizes,
    /// The images of the search instead of those of the sizes: a folder.
    pub data: Option<PathBuf>,
    /// Of all blocks together.
    pub budget: Budget,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that was run went well.
    Good,
    /// Results differ, or something failed.
    Bad,
}

/// The last line of a block.
#[derive(Serialize)]
struct Ended {
    seconds: f64,
    /// How many results differ, or could not be had.
    failures: usize,
    /// If not, what the block had no time for is not among its lines.
    in_time: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Runs blocks on a GPU, or on none, which only the doctor does without. A block that fails does not
/// keep the next from being run; what time one leaves is the others'.
///
/// # Errors
/// [`CheckError::NoGpu`] if there is none and a block needs it, and [`CheckError::Report`].
pub fn run(
    request: &Request,
    cuda: nasrl_tensor::Result<Cuda>,
    report: &mut Report,
) -> Result<Verdict, CheckError> {
    let mut failures = 0;
    if request.blocks.contains(&Block::Doctor) {
        failures += doctor(report)?.iter().filter(|Finding { usable, .. }| !usable).count();
    }
    let cuda = cuda.map_err(CheckError::NoGpu)?;
    let mut sizes = request.sizes.clone();
    if let Some(data) = &request.data {
        sizes.search.data = data.display().to_string();
    }
    let mut check = Check {
        cuda: &cuda,
        ordinal: request.ordinal,
        sizes: &sizes,
        report,
        budget: request.budget,
    };
    let mut known = None;
    for (position, &block) in request.blocks.iter().enumerate() {
        if block == Block::Doctor {
            continue;
        }
        let left = request.blocks[position..].iter().map(|block| block.seconds()).sum();
        check.budget = request.budget.share(block.seconds(), left);
        let started = Instant::now();
        let (failed, problem) = match one(block, &mut check, &mut known) {
            Ok(failed) => (failed, None),
            Err(error @ CheckError::Report { .. }) => return Err(error),
            Err(error) => (1, Some(error.to_string())),
        };
        failures += failed;
        let (seconds, in_time) = (started.elapsed().as_secs_f64(), !check.budget.is_over());
        check.report.line(block, &Ended { seconds, failures: failed, in_time, problem })?;
        check.report.summarise()?;
    }
    Ok(if failures == 0 { Verdict::Good } else { Verdict::Bad })
}

/// The status that the process ends with: 0 if all went well, 1 if not, 2 if there is no GPU.
pub fn exit_status(outcome: &Result<Verdict, CheckError>) -> u8 {
    match outcome {
        Ok(Verdict::Good) => 0,
        Ok(Verdict::Bad) => 1,
        Err(CheckError::NoGpu(_)) => 2,
        Err(_) => 1,
    }
}

/// Runs a block other than the doctor and returns how much failed.
fn one(
    block: Block,
    check: &mut Check<'_>,
    known: &mut Option<Ceilings>,
) -> Result<usize, CheckError> {
    match block {
        Block::Doctor => Ok(0),
        Block::Instructions => instructions(check),
        Block::Parity => Ok(parity(check)?.differ),
        Block::Ceilings => {
            *known = Some(ceilings(check)?);
            Ok(0)
        }
        Block::Launches => launches(check).map(|()| 0),
        Block::Operations => {
            let known = match known.take() {
                Some(known) => known,
                None => ceilings(check)?,
            };
            operations(check, &known)
        }
        Block::Tiles => tiles(check),
        Block::Steps => steps(check),
        Block::Concurrency => concurrency(check),
        Block::Profile => profile(check).map(|()| 0),
        Block::Search => search(check),
    }
}
