//! A search as its configuration has it.

use std::time::Instant;

use nasrl_space::Space;

use crate::config::{Baseline, Config, StrategyKind};
use crate::device::Devices;
use crate::problem::Problem;
use crate::run::Recorder;
use crate::scheduler::{self, Both, Ending, Listener, Plan, SearchError};
use crate::strategy::{Random, Strategy, StrategyError};
use crate::{Stop, Trial};

/// The strategy of a configuration, and after it the baseline if there is one.
///
/// # Errors
/// [`StrategyError`] for hyperparameters that it cannot start with.
pub fn strategies(
    config: &Config,
    space: &Space,
    devices: &Devices,
) -> Result<Vec<Box<dyn Strategy>>, StrategyError> {
    let random = || Box::new(Random::new(config.seed));
    let mut strategies: Vec<Box<dyn Strategy>> = vec![match config.strategy {
        StrategyKind::Rl => devices.controller(space, &config.controller, config.seed)?,
        StrategyKind::Random => random(),
    }];
    if config.baseline == Baseline::Random {
        strategies.push(random());
    }
    Ok(strategies)
}

/// Searches, and records everything in a run of which the results `known` are there already.
/// `config.max_time` counts from now.
///
/// # Errors
/// [`SearchError`]; the run can be resumed once the reason is gone.
pub fn search(
    config: &Config,
    problem: &Problem,
    (recorder, known): (&mut Recorder<'_>, Vec<Trial>),
    stop: &Stop,
    listener: &mut dyn Listener,
) -> Result<Ending, SearchError> {
    // A deadline beyond what the clock can tell is none.
    let deadline = config.max_time.and_then(|span| Instant::now().checked_add(span.duration()));
    let architectures = problem.architectures_within(config);
    let evaluator =
        problem.evaluator(config).map_err(|error| SearchError::Listener(error.into()))?;
    let stages = problem.stages(config).map_err(|error| SearchError::Listener(error.into()))?;
    let plan = Plan {
        architectures: &architectures,
        evaluator: &*evaluator,
        strategies: strategies(config, problem.space(), problem.devices())?,
        stages: &stages,
        first: 0,
        trials: config.trials,
        lag: config.lag,
        jobs: config.jobs,
        deadline,
        known: known.into_iter().map(|trial| (trial.proposed.trial, trial)).collect(),
    };
    scheduler::run(plan, stop, &mut Both(recorder, listener))
}
