//! `nasrl retrain`

use std::path::PathBuf;

use nasrl_child::{Recipe, TrainError};
use nasrl_search::config::ConfigError;
use nasrl_search::problem::Problem;
use nasrl_search::retrain::Retraining;
use nasrl_search::run::{Recorder, RunDirectory, RunRecord};
use nasrl_search::{Stop, Trial};

use super::show::unknown_trial;
use super::{cores, print_epoch, threads};
use crate::exit::{CommandError, CommandResult, Exit, failed, refused};
use crate::output::say;

/// Train a child of a run anew and test it.
///
/// It is trained by the recipe of the run, but from other random weights, and measured on the test
/// images. Its weights are put in the run's folder `retrained`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the run.
    run: PathBuf,

    /// The number of the trial, or `best`.
    #[arg(long, value_name = "N|best", default_value = "best")]
    trial: Which,

    /// How many epochs to train. Default: retrain-epochs in the configuration of the run.
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,

    /// How many threads train. Default: all cores.
    #[arg(long, value_name = "N", value_parser = threads())]
    threads: Option<usize>,

    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Which trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Best,
    Number(u64),
}

impl std::str::FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Which, String> {
        match text {
            "best" => Ok(Which::Best),
            number => number
                .parse()
                .map(Which::Number)
                .map_err(|_| "expected the number of a trial, or `best`".to_owned()),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> CommandResult {
    let run = RunDirectory::open(&arguments.run).map_err(refused)?;
    let record = RunRecord::read(&arguments.run).map_err(refused)?;
    let mut config = record.config.clone();
    let problem = Problem::open(&mut config).map_err(refused)?;
    let ledger = run.ledger().map_err(refused)?;
    run.check(&ledger, &record.config, &config, problem.space()).map_err(refused)?;
    let (Some(dataset), Some(recipe)) = (problem.dataset(), &config.recipe) else {
        let run = arguments.run.display();
        return Err(refused(format!("{run} has its rewards from a table: there is no child")));
    };
    let trial = choose(&record, arguments.trial)?;
    let epochs = arguments.epochs.or(config.retrain_epochs).unwrap_or(recipe.epochs);
    let recipe = Recipe { epochs, ..recipe.clone() };
    recipe.validate().map_err(|error| refused(ConfigError::from(error)))?;
    let tokens = &record.trials[trial].proposed.tokens;
    let graph = problem.architectures().build(tokens).graph.map_err(refused)?;
    let Some(graph) = &graph else {
        return Err(refused(format!("space {} describes no networks", record.space.name())));
    };
    let trial = record.trials[trial].proposed.trial;
    if !arguments.json {
        say!("trial {trial}: {}", record.space.describe(tokens));
    }
    let threads = arguments.threads.unwrap_or_else(cores);
    let retraining =
        Retraining { graph, dataset, recipe: &recipe, seed: config.seed, trial, threads };
    let mut on_epoch = |epoch: &nasrl_child::Epoch| {
        if !arguments.json {
            print_epoch(epoch);
        }
    };
    let (mut recorder, _) = Recorder::open(&run, ledger, problem.space()).map_err(failed)?;
    let result = retraining.run(&Stop::new(), &mut on_epoch);
    let (retrained, weights) = result.map_err(|error: TrainError| failed(error))?;
    recorder.retrained(&retrained, &weights).map_err(failed)?;
    if arguments.json {
        let report = serde_json::json!({
            "trial": retrained.trial,
            "epochs": retrained.epochs,
            "validation_accuracy": retrained.validation_accuracy,
            "test_accuracy": retrained.test_accuracy,
        });
        say!("{report}");
    } else {
        say!("{retrained}");
    }
    Ok(Exit::Done)
}

/// The index of the trial among those of the record.
fn choose(record: &RunRecord, which: Which) -> Result<usize, CommandError> {
    let trials = &record.trials;
    let number = match which {
        Which::Number(number) => number,
        Which::Best => {
            let best = Trial::ranking(trials).first().map(|trial| trial.proposed.trial);
            best.ok_or_else(|| {
                refused(format!("{} has no trial with a result yet", record.path.display()))
            })?
        }
    };
    let index = trials.iter().position(|trial| trial.proposed.trial == number);
    index.ok_or_else(|| unknown_trial(record, number))
}
