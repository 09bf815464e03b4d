//! `nasrl bench search`

use std::path::PathBuf;

use nasrl_controller::Preset;
use nasrl_search::bench::{DEFAULT_COLUMN, SearchBench};
use nasrl_search::config::{Baseline, Config, Layers, StrategyKind};
use nasrl_search::table::Table;
use serde::Serialize;
use toml::Value;

use super::to_value;
use crate::exit::{CommandError, CommandResult, Exit, failed, refused};
use crate::output::say;

/// How good a search is on a table of known results, over many seeds.
///
/// Repeats the search with seeds 0, 1, 2, ... and prints mean, standard deviation and standard
/// error of the best trial's result.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The table: CSV with a column for each decision, then a column `reward`, then any others; or
    /// the JSON of NAS-Bench-Macro.
    #[arg(long, value_name = "FILE")]
    table: PathBuf,

    /// What proposes architectures.
    #[arg(long, value_enum, default_value = "rl")]
    strategy: StrategyKind,

    /// The controller's hyperparameters: default, paper or reference.
    #[arg(long, value_name = "PRESET", default_value = "default")]
    preset: Preset,

    /// How many architectures each search tries.
    #[arg(long, value_name = "N", default_value_t = 100, allow_negative_numbers = true)]
    trials: i64,

    /// How many searches.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seeds: u64,

    /// How many of its latest trials the strategy does not know of when it proposes.
    #[arg(long, value_name = "L", default_value_t = 0, allow_negative_numbers = true)]
    lag: i64,

    /// The column of the table to report for the best trial by reward.
    #[arg(long, value_name = "COLUMN", default_value = DEFAULT_COLUMN)]
    report: String,

    /// Set one key of the configuration, such as controller.learning-rate=0.1. Can be given several
    /// times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What is printed.
#[derive(Serialize)]
struct Report<'a> {
    strategy: StrategyKind,
    preset: Preset,
    trials: u64,
    seeds: u64,
    lag: u64,
    report: &'a str,
    mean: f64,
    sd: f64,
    se: f64,
}

pub(crate) fn run(arguments: &Arguments) -> CommandResult {
    let config = configure(arguments)?;
    let table = Table::open(&arguments.table).map_err(refused)?;
    table.column(&arguments.report).map_err(refused)?;
    let bench = SearchBench::run(&config, &table, arguments.seeds, &arguments.report);
    let bench = bench.map_err(failed)?;
    let report = Report {
        strategy: config.strategy,
        preset: config.preset,
        trials: config.trials,
        seeds: arguments.seeds,
        lag: config.lag,
        report: &arguments.report,
        mean: bench.mean(),
        sd: bench.standard_deviation(),
        se: bench.standard_error(),
    };
    if arguments.json {
        say!("{}", serde_json::to_string(&report).map_err(failed)?);
    } else {
        let Report { trials, seeds, report, mean, sd, se, .. } = &report;
        say!(
            "strategy {}, preset {}, {trials} trials, {seeds} seeds: {report} of the best trial: \
             mean {mean:.4}, sd {sd:.4}, se {se:.4}",
            config.series()[0],
            config.preset,
        );
    }
    Ok(Exit::Done)
}

fn configure(arguments: &Arguments) -> Result<Config, CommandError> {
    let mut layers = Layers::new();
    let table = Value::String(arguments.table.display().to_string());
    layers.set("table", table, "--table").map_err(refused)?;
    for assignment in &arguments.set {
        layers.assignment(assignment).map_err(refused)?;
    }
    let flags = [
        ("strategy", "--strategy", to_value(arguments.strategy)),
        ("baseline", "--strategy", to_value(Baseline::None)),
        ("preset", "--preset", to_value(arguments.preset)),
        ("trials", "--trials", arguments.trials.into()),
        ("lag", "--lag", arguments.lag.into()),
    ];
    for (key, flag, value) in flags {
        layers.set(key, value, flag).map_err(refused)?;
    }
    layers.resolve().map_err(refused)
}
