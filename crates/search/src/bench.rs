//! How good a search is, over many seeds, on a table of known results.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::Config;
use crate::depth::Stages;
use crate::device::Devices;
use crate::scheduler::{self, Plan, SearchError};
use crate::search::strategies;
use crate::table::{REWARD, Table, TableError};
use crate::{Architectures, Stop, TableEvaluator, Trial};

/// Results of a search repeated with different seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchBench {
    /// The value in the reported column of the best trial by reward, one a seed, from seed 0 on.
    pub values: Vec<f64>,
}

/// Why a bench has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The reported column.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A search failed.
    #[error("seed {seed}: {source}")]
    Search {
        /// Its seed.
        seed: u64,
        /// Why.
        source: SearchError,
    },
    /// Not one trial of a search was in the table.
    #[error("seed {seed}: no trial has a result; the table has gaps, try more trials")]
    NoResult {
        /// The search's seed.
        seed: u64,
    },
}

impl SearchBench {
    /// Repeats the strategy of `config`, without its baseline, with the seeds from 0 to `seeds - 1`,
    /// on all cores.
    ///
    /// # Errors
    /// [`BenchError`] of the smallest seed that has one.
    pub fn run(
        config: &Config,
        table: &Table,
        seeds: u64,
        column: &str,
    ) -> Result<SearchBench, BenchError> {
        table.column(column)?;
        let next = AtomicU64::new(0);
        let results = Mutex::new(Vec::new());
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        std::thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds {
                            break;
                        }
                        let result = repetition(config, table, seed, column);
                        results.lock().expect("no thread panics with it").push((seed, result));
                    }
                });
            }
        });
        let mut results = results.into_inner().expect("no thread panics with it");
        results.sort_unstable_by_key(|(seed, _)| *seed);
        let values = results.into_iter().map(|(_, result)| result).collect::<Result<_, _>>()?;
        Ok(SearchBench { values })
    }

    /// The mean over the seeds.
    pub fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len() as f64
    }

    /// The standard deviation over the seeds, by n - 1; 0 of a single seed.
    pub fn standard_deviation(&self) -> f64 {
        let mean = self.mean();
        let squares: f64 = self.values.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / (self.values.len().max(2) - 1) as f64).sqrt()
    }

    /// The standard error of the mean.
    pub fn standard_error(&self) -> f64 {
        self.standard_deviation() / (self.values.len() as f64).sqrt()
    }
}

fn repetition(config: &Config, table: &Table, seed: u64, column: &str) -> Result<f64, BenchError> {
    let config = Config { seed, ..config.clone() };
    let architectures = Architectures::token_strings(table.space());
    let evaluator = TableEvaluator::new(table, config.reward, std::time::Duration::ZERO);
    let search = || {
        let mut strategies = strategies(&config, table.space(), &Devices::Cpu)?;
        strategies.truncate(1);
        let plan = Plan {
            architectures: &architectures,
            evaluator: &evaluator,
            strategies,
            stages: &Stages::whole(table.space()),
            first: 0,
            trials: config.trials,
            lag: config.lag,
            jobs: 1,
            deadline: None,
            known: Default::default(),
        };
        scheduler::run(plan, &Stop::new(), &mut ())
    };
    let ending = search().map_err(|source| BenchError::Search { seed, source })?;
    let ranking = Trial::ranking(&ending.trials);
    let best = ranking.first().ok_or(BenchError::NoResult { seed })?;
    Ok(table.value(&best.proposed.tokens, column)?)
}

/// The column that is reported unless another is asked for.
pub const DEFAULT_COLUMN: &str = REWARD;
