//! What a search does once its trials are done.

use std::error::Error;
use std::path::Path;

use nasrl_child::{Checkpoint, Recipe, TrainError};
use nasrl_search::config::Config;
use nasrl_search::problem::Problem;
use nasrl_search::retrain::{RetrainError, Retraining};
use nasrl_search::run::{Recorder, Retrained, Variant};
use nasrl_search::scheduler::{Ending, Reason};
use nasrl_search::summary::Summary;
use nasrl_search::{Stop, Trial};
use nasrl_space::Space;

use super::say_how_to_resume;
use crate::commands::print_epoch;
use crate::exit::Exit;
use crate::output::say;

/// Trains the winner anew if the search is complete, and prints what was found.
pub(super) fn conclude(
    run: &Path,
    config: &Config,
    problem: &Problem,
    recorder: &mut Recorder<'_>,
    ending: &Ending,
    stop: &Stop,
) -> Result<Exit, Box<dyn Error>> {
    let trials = &ending.trials;
    match ending.reason {
        Reason::Stopped => return Ok(say_how_to_resume(run)),
        Reason::Deadline => say!(
            "--max-time was reached after {} trials; go on with: nasrl search --resume {}\n",
            trials.len(),
            run.display()
        ),
        Reason::Complete => match retrain_winner(config, problem, recorder, trials, stop)? {
            Exit::Stopped => return Ok(say_how_to_resume(run)),
            Exit::Done => recorder.set_finished()?,
        },
    }
    for (strategy, trials) in &ending.exhausted {
        say!(
            "Strategy {strategy} ended after {trials} trials: no architecture of the space is \
             left{}.\n",
            if config.limits.is_none() {
                ""
            } else {
                ", or none was found, within the limits; raise them"
            }
        );
    }
    summarize(run, problem.space(), config, trials, &recorder.all_retrained()?);
    Ok(Exit::Done)
}

/// Prints what was found.
pub(super) fn summarize(
    run: &Path,
    space: &Space,
    config: &Config,
    trials: &[Trial],
    retrained: &[Retrained],
) {
    let series = config.series();
    say!("{}", Summary { space, trials, series: &series, retrained });
    say!("run directory: {}", run.display());
}

/// Trains the best child anew and tests it, unless that was done before the run was resumed.
fn retrain_winner(
    config: &Config,
    problem: &Problem,
    recorder: &mut Recorder<'_>,
    trials: &[Trial],
    stop: &Stop,
) -> Result<Exit, Box<dyn Error>> {
    let ranking = Trial::ranking(trials);
    let (Some(dataset), Some(recipe), Some(winner)) =
        (problem.dataset(), &config.recipe, ranking.first())
    else {
        return Ok(Exit::Done);
    };
    let trial = winner.proposed.trial;
    let epochs = config.retrain_epochs.unwrap_or(recipe.epochs);
    let variant = &Variant::default();
    let is_this = |done: &Retrained| {
        done.trial == trial && done.epochs == epochs as u64 && done.variant == *variant
    };
    if recorder.all_retrained()?.iter().any(is_this) {
        return Ok(Exit::Done);
    }
    let graph = problem.architectures().build(&winner.proposed.tokens).graph?;
    let Some(graph) = &graph else { return Ok(Exit::Done) };
    say!("The best child, trial {trial}, is trained anew:");
    let threads = config.threads * config.jobs;
    let seed = config.seed;
    let recipe = &Recipe { epochs, ..recipe.clone() };
    let checkpoint = &recorder.checkpoint_of(trial, variant, epochs);
    let devices = problem.devices();
    let retraining =
        Retraining { graph, dataset, recipe, seed, trial, variant, devices, threads, checkpoint };
    let interrupted = retraining.interrupted();
    interrupted.iter().flat_map(Checkpoint::epochs).for_each(print_epoch);
    match retraining.run(interrupted.as_ref(), stop, &mut print_epoch) {
        Ok((retrained, weights)) => recorder.retrained(&retrained, &weights)?,
        Err(RetrainError::Train(TrainError::Cancelled)) => return Ok(Exit::Stopped),
        // That happens to a child; it is a result of the search, not a failure.
        Err(RetrainError::Train(diverged @ TrainError::Nan { .. })) => {
            say!("Training it anew failed: {diverged}")
        }
        Err(error) => return Err(error.into()),
    }
    say!("");
    Ok(Exit::Done)
}
