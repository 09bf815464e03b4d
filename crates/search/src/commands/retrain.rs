//! `nasrl retrain`

use std::path::PathBuf;
use std::sync::Arc;

use nasrl_child::data::{DataError, Dataset, Split, ValidationSource};
use nasrl_child::{Checkpoint, Recipe, TrainError};
use nasrl_search::config::ConfigError;
use nasrl_search::device::Device;
use nasrl_search::problem::Problem;
use nasrl_search::recipes::{RecipeName, stretched};
use nasrl_search::retrain::{RetrainError, Retraining};
use nasrl_search::run::{Recorder, RunDirectory, RunRecord, TrainedOn, Variant};
use nasrl_search::setting::Setting;
use nasrl_search::{Proposed, Stop, Trial};

use super::which::Which;
use super::{cores, print_epoch, threads};
use crate::exit::{CommandError, CommandResult, Exit, failed, refused};
use crate::output::{remark, say};

/// Train a child of a run anew and test it.
///
/// It is trained from other random weights than in the search, and measured on the test images once,
/// at the end. Where it was stopped or killed the same command goes on, at its last full epoch. Its
/// weights are put in the run's folder `retrained`. The last step of arXiv
/// 1611.01578, section 4.1, is `--recipe final --tuned --add-filters 40`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the run.
    run: PathBuf,

    /// The number of the trial, or `best`.
    #[arg(long, value_name = "N|best", default_value = "best")]
    trial: Which,

    /// How it is trained.
    #[arg(long, value_enum, default_value = "run")]
    recipe: RecipeName,

    /// With the setting that `nasrl tune` found best for this architecture and recipe.
    #[arg(long)]
    tuned: bool,

    /// Give every convolution so many filters more.
    #[arg(long, value_name = "N", default_value_t = 0)]
    add_filters: usize,

    /// Train on the validation images too; nothing is validated then.
    #[arg(long)]
    all: bool,

    /// How many epochs to train. Default: retrain-epochs in the configuration of the run; 10, 50
    /// and 300 for the recipes reference, paper and final.
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,

    /// What trains it: cpu, cuda (the first GPU), or cuda:N. Default: that of the run.
    #[arg(long, value_name = "DEVICE")]
    device: Option<Device>,

    /// How many threads train on the processor. Default: all cores.
    #[arg(long, value_name = "N", value_parser = threads())]
    threads: Option<usize>,

    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> CommandResult {
    let run = RunDirectory::open(&arguments.run).map_err(refused)?;
    let record = RunRecord::read(&arguments.run).map_err(refused)?;
    let mut config = record.config.clone();
    config.device = arguments.device.unwrap_or(config.device);
    let problem = Problem::open(&mut config).map_err(refused)?;
    config.device = record.config.device;
    let ledger = run.ledger().map_err(refused)?;
    run.check(&ledger, &record.config, &config, problem.space()).map_err(refused)?;
    let (Some(dataset), Some(recipe)) = (problem.dataset(), &config.recipe) else {
        let run = arguments.run.display();
        return Err(refused(format!("{run} has its rewards from a table: there is no child")));
    };
    let Proposed { trial, ref tokens, .. } = arguments.trial.of(&record)?.proposed;
    let setting = arguments.tuned.then(|| arguments.setting(&record)).transpose()?;
    let recipe = arguments.recipe(recipe, config.retrain_epochs, setting.as_ref());
    recipe.validate().map_err(|error| refused(ConfigError::from(error)))?;
    let graph = problem.architectures().build(tokens).graph.map_err(refused)?;
    let Some(graph) = graph else {
        return Err(refused(format!("space {} describes no networks", record.space.name())));
    };
    let graph = &match arguments.add_filters {
        0 => graph,
        by => graph.widened(by).map_err(refused)?,
    };
    let (on, joined) = match arguments.all {
        false => (TrainedOn::Training, None),
        true => (TrainedOn::TrainingAndValidation, Some(joined(dataset).map_err(refused)?)),
    };
    let dataset = joined.as_ref().unwrap_or(dataset);
    let variant = &Variant::new(arguments.recipe, setting.as_ref(), arguments.add_filters, on);
    if !arguments.json {
        say!("trial {trial}: {}", record.space.describe(tokens));
    }
    let stop = Stop::on_signals().map_err(failed)?;
    let mut on_epoch = |epoch: &nasrl_child::Epoch| {
        if !arguments.json {
            print_epoch(epoch);
        }
    };
    let after_all = record.trials.last().map_or(0, |trial| trial.proposed.trial + 1);
    let opened = Recorder::open(&run, ledger, problem.space(), after_all);
    let (mut recorder, _) = opened.map_err(failed)?;
    let retraining = Retraining {
        graph,
        dataset,
        recipe: &recipe,
        seed: config.seed,
        trial,
        variant,
        devices: problem.devices(),
        threads: arguments.threads.unwrap_or_else(cores),
        checkpoint: &recorder.checkpoint_of(trial, variant, recipe.epochs),
    };
    let interrupted = retraining.interrupted();
    interrupted.iter().flat_map(Checkpoint::epochs).for_each(&mut on_epoch);
    let (retrained, weights) = match retraining.run(interrupted.as_ref(), &stop, &mut on_epoch) {
        Err(RetrainError::Train(TrainError::Cancelled)) => {
            remark!("Stopped. Go on with the same command.");
            return Ok(Exit::Stopped);
        }
        result => result.map_err(failed)?,
    };
    recorder.retrained(&retrained, &weights).map_err(failed)?;
    if arguments.json {
        let report = serde_json::json!({
            "trial": retrained.trial,
            "variant": retrained.variant.to_string(),
            "parameters": graph.parameters(),
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

impl Arguments {
    /// How to train, in a run with the recipe `run`.
    fn recipe(&self, run: &Recipe, run_epochs: Option<usize>, setting: Option<&Setting>) -> Recipe {
        let named = self.recipe.recipe(run);
        let own = match self.recipe {
            RecipeName::Run => run_epochs.unwrap_or(named.epochs),
            _ => named.epochs,
        };
        let epochs = self.epochs.unwrap_or(own);
        match (setting, self.recipe) {
            (Some(setting), _) => setting.stretched(epochs).apply(run),
            // The epochs of a run's own recipe are what its configuration says, whatever number.
            (None, RecipeName::Run) => Recipe { epochs, ..named },
            (None, _) => stretched(&named, epochs),
        }
    }

    /// The best setting of the recipe for the architecture of the trial.
    fn setting(&self, record: &RunRecord) -> Result<Setting, CommandError> {
        let hash = self.trial.of(record)?.proposed.hash;
        let suits = |trial: &&Trial| {
            let setting = trial.proposed.setting.as_ref();
            trial.proposed.hash == hash && setting.is_some_and(|s| s.recipe == self.recipe)
        };
        let best = Trial::ranked(record.trials.iter().filter(suits)).first().copied();
        best.and_then(|trial| trial.proposed.setting).ok_or_else(|| {
            let run = record.path.display();
            refused(format!(
                "this architecture was not tuned for the recipe {}: nasrl tune {run} --recipe {}",
                self.recipe, self.recipe
            ))
        })
    }
}

/// A dataset whose validation images are training images.
fn joined(dataset: &Dataset) -> Result<Dataset, DataError> {
    let Some(validation) = &dataset.validation else { return Ok(dataset.clone()) };
    let images = [dataset.train.images(), validation.images()].concat();
    let labels = [dataset.train.labels(), validation.labels()].concat();
    let mut joined = dataset.clone();
    joined.train = Arc::new(Split::new(dataset.shape, images, labels)?);
    joined.validation = None;
    joined.source.validation = ValidationSource::Absent;
    Ok(joined)
}
