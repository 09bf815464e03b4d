//! The commands, one file each.

mod bench_child;
mod bench_search;
mod doctor;
mod retrain;
mod search;
mod show;
mod space;
mod train;
mod tune;
mod which;

use std::num::NonZero;

use clap::builder::RangedU64ValueParser;
use clap::{Subcommand, ValueEnum};
use nasrl_child::Epoch;
use nasrl_search::config;
use nasrl_search::text::grouped;
use nasrl_space::Graph;
use serde::Serialize;

use crate::exit::CommandResult;
use crate::output::say;

/// What `nasrl` can do; each command's arguments say what it is.
#[derive(Subcommand)]
pub(crate) enum Command {
    Search(search::Arguments),
    Train(train::Arguments),
    Show(show::Arguments),
    Tune(tune::Arguments),
    Retrain(retrain::Arguments),
    Space(space::Arguments),
    Doctor(doctor::Arguments),
    /// Measure how fast children train, or how good a search is.
    #[command(subcommand)]
    Bench(Bench),
}

/// What can be measured.
#[derive(Subcommand)]
pub(crate) enum Bench {
    Child(bench_child::Arguments),
    Search(bench_search::Arguments),
}

/// The type of activations and their gradients in a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Precision {
    /// 32 bits.
    F32,
    /// The upper 16 bits of an f32; sums are f32.
    Bf16,
}

/// Prints what an epoch came to.
pub(crate) fn print_epoch(epoch: &Epoch) {
    let Epoch { number, loss, training_accuracy, validation_accuracy, images_per_second } = epoch;
    let validation = validation_accuracy.map(|value| format!(", validation accuracy {value:.4}"));
    say!(
        "epoch {number}: loss {loss:.4}, training accuracy {training_accuracy:.4}{}, \
         {images_per_second:.0} images/s",
        validation.unwrap_or_default()
    );
}

/// Reads a number of threads or of jobs.
pub(crate) fn threads() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=config::MOST_THREADS as u64)
}

/// How a network is drawn for people: a line for each layer, then the totals and the hash.
pub(crate) fn drawing(graph: &Graph) -> String {
    format!(
        "{}\n{} parameters, {} FLOPs, architecture {}\n",
        graph.sketch(),
        grouped(graph.parameters()),
        grouped(graph.flops()),
        graph.hash()
    )
}

/// How many cores this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// An option as a value of the configuration.
pub(crate) fn to_value(value: impl Serialize) -> toml::Value {
    toml::Value::try_from(value).expect("options are words")
}

impl Command {
    pub(crate) fn run(self) -> CommandResult {
        match self {
            Command::Search(arguments) => search::run(arguments),
            Command::Train(arguments) => train::run(&arguments),
            Command::Show(arguments) => show::run(&arguments),
            Command::Tune(arguments) => tune::run(&arguments),
            Command::Retrain(arguments) => retrain::run(&arguments),
            Command::Space(arguments) => space::run(arguments),
            Command::Doctor(arguments) => doctor::run(&arguments),
            Command::Bench(Bench::Child(arguments)) => bench_child::run(&arguments),
            Command::Bench(Bench::Search(arguments)) => bench_search::run(&arguments),
        }
    }
}
