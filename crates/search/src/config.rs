//! Everything a search depends on, and how it is put together.

mod error;
mod layers;

pub use error::ConfigError;
pub use layers::Layers;

use std::fmt;

use nasrl_child::Recipe;
use nasrl_controller::Preset;
use serde::{Deserialize, Serialize};

use crate::Reward;
use crate::clock::Span;
use crate::depth::Depth;
use crate::device::Device;
use crate::limits::Limits;

/// The configuration of a search, complete. As TOML it is the `config.toml` of a run.
///
/// The result of a search depends on all of it but `jobs`, `threads` and `max-time`, on `threads`
/// only where the memory that they take is limited, and on `device` as far as it is the processor or
/// a GPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// What proposes architectures.
    pub strategy: StrategyKind,
    /// What it is compared with, at the same number of trials.
    pub baseline: Baseline,
    /// What the hyperparameters in `controller` and `reward` are unless they are set.
    pub preset: Preset,
    /// How many trials the strategy has, and the baseline too.
    pub trials: u64,
    /// How many of its latest trials a strategy that learns does not know of when it proposes;
    /// one more can be evaluated at once. 3, and 0 with a table.
    pub lag: u64,
    /// What everything random is derived from; at most 2^63 - 1.
    pub seed: u64,
    /// What children are trained on, and where the controller computes.
    #[serde(default)]
    pub device: Device,
    /// How many trials are evaluated at once.
    pub jobs: usize,
    /// How many threads train each child on the processor.
    pub threads: usize,
    /// How long to hand out trials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_time: Option<Span>,
    /// How many epochs the best child is trained anew after the search; absent with a table. 10, or
    /// as many as in the search if those are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrain_epochs: Option<usize>,
    /// From accuracies to rewards.
    pub reward: Reward,
    /// Where to look rewards up, in place of training children.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableSource>,
    /// What to search; absent with a table, which is its own space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<SpaceSource>,
    /// What children are trained on; absent with a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataSource>,
    /// How many layers networks have; absent unless the space has several depths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<Depth>,
    /// What architectures may cost.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// How children are trained; absent with a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
    /// The hyperparameters of the strategy `rl`.
    pub controller: nasrl_controller::Config,
}

/// The most threads, those of all jobs together; systems refuse not many more.
pub const MOST_THREADS: usize = 4096;

/// What proposes architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StrategyKind {
    /// A controller network that learns by reinforcement which architectures are good.
    Rl,
    /// Uniform draws without repetition.
    Random,
}

/// What a strategy is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// Random search with the same number of trials.
    Random,
    /// Nothing.
    None,
}

/// Where a space comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SpaceSource {
    /// The name of a built-in space, or a TOML file.
    pub source: String,
    /// The space as TOML; where it is there, `source` is only where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
}

/// Where images come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DataSource {
    /// `embedded`, or a folder.
    pub source: String,
    /// How many training images to hold out for validation; the dataset's own rule if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<usize>,
    /// What was found there, in words. Not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A hash of the training and validation images. Where it is there, other images are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Where a table of known results comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TableSource {
    /// A CSV file, or the JSON of NAS-Bench-Macro.
    #[serde(default)]
    pub source: String,
    /// How long every look-up takes, to imitate evaluations that take time.
    #[serde(default)]
    pub seconds_per_trial: f64,
    /// A hash of the file. Where it is there, another file is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Config {
    /// Whether every value is in its range and goes with the others.
    ///
    /// # Errors
    /// [`ConfigError`] for the first that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let range = |good: bool, key: &str, value: &dyn fmt::Display, rule: &'static str| {
            let (key, value) = (key.to_owned(), value.to_string());
            if good { Ok(()) } else { Err(ConfigError::Range { key, value, rule }) }
        };
        let Config { trials, seed, jobs, threads, reward, .. } = self;
        range((1..=MOST_TRIALS).contains(trials), "trials", trials, TRIALS)?;
        range(i64::try_from(*seed).is_ok(), "seed", seed, "at most 9223372036854775807")?;
        range((1..=MOST_THREADS).contains(jobs), "jobs", jobs, "1 to 4096")?;
        range((1..=MOST_THREADS).contains(threads), "threads", threads, "1 to 4096")?;
        let all = jobs * threads;
        range(all <= MOST_THREADS, "jobs times threads", &all, "at most 4096")?;
        let Reward { last_epochs, power } = reward;
        range(*last_epochs >= 1, "reward.last-epochs", last_epochs, "at least 1")?;
        range(power.is_finite() && *power > 0.0, "reward.power", power, "above 0, and finite")?;
        self.controller.validate()?;
        if self.strategy == StrategyKind::Random && self.baseline == Baseline::Random {
            return Err(ConfigError::BaselineOfItself);
        }
        if let Some(Depth { step, period, .. }) = &self.depth {
            range(*step >= 1, "depth.step", step, "at least 1")?;
            range((1..=MOST_TRIALS).contains(period), "depth.period", period, TRIALS)?;
        }
        let retrain = self.retrain_epochs;
        range(retrain != Some(0), "retrain-epochs", &0, "at least 1")?;
        match (&self.table, &self.space, &self.data, &self.recipe) {
            (Some(_), ..) if self.depth.is_some() || !self.limits.is_none() => {
                Err(ConfigError::NetworksOfTable)
            }
            (Some(table), None, None, None) if retrain.is_none() => {
                let source = &table.source;
                range(!source.is_empty(), "table.source", &"empty", "the path of a file")?;
                let seconds = table.seconds_per_trial;
                let good = (0.0..=MOST_SECONDS).contains(&seconds);
                range(good, "table.seconds-per-trial", &seconds, "0 to 86400")
            }
            (None, Some(_), Some(data), Some(recipe)) => {
                recipe.validate()?;
                range(data.validation != Some(0), "data.validation", &0, "at least 1 in a search")
            }
            (Some(_), ..) => Err(ConfigError::BesideTable),
            (None, ..) => Err(ConfigError::Incomplete),
        }
    }

    /// As TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("strings, and numbers that validation keeps in range")
    }

    /// The names of the strategy and of the baseline if there is one, as in `trials.csv`.
    pub fn series(&self) -> Vec<&'static str> {
        let strategy = match self.strategy {
            StrategyKind::Rl => "rl",
            StrategyKind::Random => "random",
        };
        match self.baseline {
            Baseline::Random => vec![strategy, "random"],
            Baseline::None => vec![strategy],
        }
    }

    /// What the result of the search depends on.
    pub(crate) fn relevant(&self) -> Config {
        let threads = if self.limits.memory.is_some() { self.threads } else { 1 };
        let device = self.device.kind();
        let mut relevant = Config { device, jobs: 1, threads, max_time: None, ..self.clone() };
        if let Some(data) = &mut relevant.data {
            data.description = None;
        }
        relevant
    }
}

/// Rewards and identities of this many trials still fit in the memory of a large computer.
const MOST_TRIALS: u64 = 1_000_000_000;
const TRIALS: &str = "1 to 1,000,000,000";
/// A day.
const MOST_SECONDS: f64 = 86_400.0;
