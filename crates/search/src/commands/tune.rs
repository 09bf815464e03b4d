//! `nasrl tune`

use std::path::PathBuf;

use nasrl_search::config::ConfigError;
use nasrl_search::problem::Problem;
use nasrl_search::recipes::RecipeName;
use nasrl_search::run::{Recorder, RunDirectory, RunRecord};
use nasrl_search::scheduler::Reason;
use nasrl_search::text::{Column, table};
use nasrl_search::tuning::{Grid, Tuning};
use nasrl_search::{Stop, Trial};

use super::which::Which;
use super::{cores, threads};
use crate::exit::{CommandResult, Exit, failed, refused};
use crate::output::{put, remark, say};
use crate::progress::Progress;

/// Find the settings of a recipe that suit a child of a finished run.
///
/// Trains it anew with every combination of a few learning rates, weight decays, epsilons of batch
/// normalisation and epochs after which the learning rate falls, as arXiv 1611.01578, section 4.1,
/// does for its best child. All start from the same random weights. They are compared on the
/// validation images, and are trials of the run, of the strategy `tune`. The test images are not
/// looked at. Stopped or killed, it goes on when the same command is given again.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the run.
    run: PathBuf,

    /// The number of the trial, or `best`.
    #[arg(long, value_name = "N|best", default_value = "best")]
    trial: Which,

    /// The recipe to tune: that of the run, or another, see `nasrl retrain --help`.
    #[arg(long, value_enum, default_value = "run")]
    recipe: RecipeName,

    /// Learning rates to try. Default: the recipe's, half and twice that; a third and three times
    /// for Adam and RMSProp.
    #[arg(long, value_name = "RATES", value_delimiter = ',', allow_negative_numbers = true)]
    learning_rate: Vec<f64>,

    /// Weight decays to try. Default: the recipe's and five times that; if it has none, 1e-4, or
    /// 1e-5 for Adam and RMSProp.
    #[arg(long, value_name = "DECAYS", value_delimiter = ',', allow_negative_numbers = true)]
    weight_decay: Vec<f64>,

    /// What batch normalisation adds to the variance. Default: the recipe's, and 0.001; without
    /// batch normalisation the recipe's alone.
    #[arg(long, value_name = "EPSILONS", value_delimiter = ',', allow_negative_numbers = true)]
    batch_norm_epsilon: Vec<f64>,

    /// Epochs after which the learning rate falls, to a tenth unless the recipe has another factor;
    /// `recipe` for when it does in the recipe. Default: recipe, half and three quarters of the
    /// epochs.
    #[arg(long, value_name = "EPOCHS", value_delimiter = ',')]
    decay_epoch: Vec<DecayEpoch>,

    /// How many epochs each setting is trained. Default: as many as the recipe has.
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,

    /// Try so many settings at the most: the recipe's own, and others that the run's seed draws.
    /// Default: all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,

    /// How many settings are tried at once. Default: one a core.
    #[arg(long, value_name = "N", value_parser = threads())]
    jobs: Option<usize>,

    /// How many threads train each of them. Default: the cores divided by --jobs.
    #[arg(long, value_name = "N", value_parser = threads())]
    threads: Option<usize>,
}

/// When the learning rate falls first.
#[derive(Clone, Copy, Debug)]
struct DecayEpoch(Option<usize>);

impl std::str::FromStr for DecayEpoch {
    type Err = String;

    fn from_str(text: &str) -> Result<DecayEpoch, String> {
        match (text, text.parse()) {
            ("recipe", _) => Ok(DecayEpoch(None)),
            (_, Ok(epoch)) => Ok(DecayEpoch(Some(epoch))),
            _ => Err("expected the number of an epoch, or `recipe`".to_owned()),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> CommandResult {
    let path = arguments.run.display();
    let run = RunDirectory::open(&arguments.run).map_err(refused)?;
    let record = RunRecord::read(&arguments.run).map_err(refused)?;
    if record.finished_at.is_none() {
        return Err(refused(format!(
            "{path} is not finished, and its search numbers its trials first: go on with it by \
             `nasrl search --resume {path}`"
        )));
    }
    let mut config = record.config.clone();
    let problem = Problem::open(&mut config).map_err(refused)?;
    let ledger = run.ledger().map_err(refused)?;
    run.check(&ledger, &record.config, &config, problem.space()).map_err(refused)?;
    let Some(recipe) = &config.recipe else {
        return Err(refused(format!("{path} has its rewards from a table: there is no child")));
    };
    let base = &arguments.trial.of(&record)?.proposed;
    let graph = problem.architectures().build(&base.tokens).graph.map_err(refused)?;
    let Some(graph) = &graph else {
        return Err(refused(format!("space {} describes no networks", record.space.name())));
    };
    let epochs = arguments.epochs.unwrap_or(arguments.recipe.recipe(recipe).epochs);
    let grid = arguments.change(Grid::around(arguments.recipe, recipe, epochs, graph));
    let settings = grid.settings(arguments.limit.map(|limit| limit as usize), config.seed);
    for setting in &settings {
        let refusal = |error| refused(format!("{}: {setting}", ConfigError::from(error)));
        setting.apply(recipe).validate().map_err(refusal)?;
    }
    let jobs = arguments.jobs.unwrap_or_else(cores).min(settings.len());
    let each = arguments.threads.unwrap_or((cores() / jobs).max(1));
    say!("trial {}: {}", base.trial, record.space.describe(&base.tokens));
    say!("{} settings of the recipe {}, {epochs} epochs each\n", settings.len(), arguments.recipe);

    let lines: Vec<String> = settings.iter().map(ToString::to_string).collect();
    let identity = format!("{}\n{}", base.hash, lines.join("\n"));
    let first = ledger.first_of_tuning(&identity, settings.len() as u64).map_err(failed)?;
    let stop = Stop::on_signals().map_err(failed)?;
    let opened = Recorder::open(&run, ledger, problem.space(), first);
    let (mut recorder, known) = opened.map_err(failed)?;
    let tuning = Tuning {
        problem: &problem,
        recipe,
        reward: config.reward,
        seed: config.seed,
        trial: base.trial,
        tokens: &base.tokens,
        settings: &settings,
        first,
        jobs,
        threads: each,
    };
    let mut progress = Progress::new(settings.len() as u64);
    let ending = tuning.run((&mut recorder, known), &stop, &mut progress);
    progress.finish();
    let ending = ending.map_err(failed)?;
    if ending.reason == Reason::Stopped {
        remark!("Stopped. Go on with the same command.");
        return Ok(Exit::Stopped);
    }
    report(&ending.trials, base.trial, arguments);
    Ok(Exit::Done)
}

impl Arguments {
    /// A grid with the values that were given in place of its own.
    fn change(&self, mut grid: Grid) -> Grid {
        let mut change = |given: &[f64], values: fn(&mut Grid) -> &mut Vec<f64>| {
            if !given.is_empty() {
                *values(&mut grid) = given.to_vec();
            }
        };
        change(&self.learning_rate, |grid| &mut grid.learning_rates);
        change(&self.weight_decay, |grid| &mut grid.weight_decays);
        change(&self.batch_norm_epsilon, |grid| &mut grid.batch_norm_epsilons);
        if !self.decay_epoch.is_empty() {
            grid.decay_epochs = self.decay_epoch.iter().map(|epoch| epoch.0).collect();
        }
        grid
    }
}

/// Prints the settings, best first, and how to use the best.
fn report(trials: &[Trial], base: u64, arguments: &Arguments) {
    let ranking = Trial::ranked(trials.iter());
    let failed = trials.iter().filter(|trial| !ranking.contains(trial));
    put!("{}", settings_table(ranking.iter().copied().chain(failed)));
    let Some(setting) = ranking.first().and_then(|trial| trial.proposed.setting) else {
        say!("\nNo setting has a result.");
        return;
    };
    say!("\nThe best setting: {setting}");
    say!(
        "Train with it: nasrl retrain {} --trial {base} --recipe {} --tuned",
        arguments.run.display(),
        arguments.recipe
    );
}

/// A line for each of these trials of tuning.
pub(super) fn settings_table<'a>(trials: impl Iterator<Item = &'a Trial>) -> String {
    let columns = [
        Column::numbers("trial"),
        Column::words("status"),
        Column::numbers("reward"),
        Column::numbers("validation accuracy"),
        Column::words("setting"),
    ];
    let rows = trials.map(|trial| {
        vec![
            trial.proposed.trial.to_string(),
            trial.status.to_string(),
            format!("{:.4}", trial.reward),
            trial.validation_accuracy.map(|value| format!("{value:.4}")).unwrap_or_default(),
            trial.proposed.setting.map(|setting| setting.to_string()).unwrap_or_default(),
        ]
    });
    table(&columns, rows)
}
