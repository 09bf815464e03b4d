//! `nasrl bench child`

use clap::builder::RangedU64ValueParser;
use nasrl_child::recipe;
use nasrl_child::{Recipe, Throughput, throughput};
use nasrl_search::config::MOST_THREADS;
use nasrl_space::{Image, Space};

use super::{Precision, threads};
use crate::exit::{CommandResult, Exit, failed, refused};
use crate::output::say;

/// How fast a child trains, in images a second.
///
/// Trains on random images of 32x32x3 in ten classes, by the reference recipe, and prints one JSON
/// line: the median of the repeats, added up over the jobs.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The space that the tokens are of: a built-in one (reference), or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "reference")]
    space: String,

    /// The architecture: the value of each decision, in order, separated by commas.
    #[arg(long, value_name = "VALUES")]
    child: String,

    /// The type of activations and their gradients.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,

    /// Put batch normalisation after every convolution.
    #[arg(long)]
    batch_norm: bool,

    /// How many images a step.
    #[arg(long, value_name = "N", default_value_t = 128)]
    batch: usize,

    /// How many steps are timed together.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = positive())]
    steps: usize,

    /// How often.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = positive())]
    repeats: usize,

    /// How many children train at the same time.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = threads())]
    jobs: usize,

    /// How many threads train each of them.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = threads())]
    threads: usize,
}

/// What the peers are measured on.
const IMAGE: Image = Image { height: 32, width: 32, channels: 3 };
const CLASSES: usize = 10;

pub(crate) fn run(arguments: &Arguments) -> CommandResult {
    let all = arguments.jobs * arguments.threads;
    if all > MOST_THREADS {
        let most = MOST_THREADS;
        return Err(refused(format!(
            "--jobs times --threads is {all}, but must be at most {most}"
        )));
    }
    let mut space = Space::open(&arguments.space).map_err(refused)?;
    if arguments.batch_norm {
        space = space.with_batch_norm().map_err(refused)?;
    }
    let tokens = space.parse(&arguments.child).map_err(refused)?;
    let graph = space.build(&tokens, IMAGE, CLASSES).map_err(refused)?;
    let (precision, mode) = match arguments.precision {
        Precision::F32 => (recipe::Precision::F32, "f32"),
        Precision::Bf16 => (recipe::Precision::Bf16, "bf16"),
    };
    let recipe = Recipe { batch: arguments.batch, precision, ..Recipe::reference() };
    recipe.validate().map_err(refused)?;
    let options = Throughput {
        steps: arguments.steps,
        repeats: arguments.repeats,
        jobs: arguments.jobs,
        threads: arguments.threads,
    };
    let rate = throughput(&graph, &recipe, &options).map_err(failed)?;
    let line = serde_json::json!({
        "child": space.format(&tokens),
        "mode": mode,
        "batch_norm": arguments.batch_norm,
        "threads": arguments.threads,
        "jobs": arguments.jobs,
        "images_per_second": rate,
    });
    say!("{line}");
    Ok(Exit::Done)
}

fn positive() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1_000_000)
}
