//! `nasrl show`

use std::path::PathBuf;

use nasrl_child::Epoch;
use nasrl_controller::Policy;
use nasrl_search::Trial;
use nasrl_search::config::StrategyKind;
use nasrl_search::run::{Best, RunRecord};
use nasrl_search::summary::Summary;
use nasrl_search::text::{Align, Column, grouped, table};
use nasrl_tensor::Cpu;

use crate::exit::{CommandError, CommandResult, Exit, refused};
use crate::output::{put, say};

/// Look at a run, or at one trial of it; also while it goes on.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the run.
    run: PathBuf,

    /// The number of the trial. Without it: what the whole run found so far.
    trial: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> CommandResult {
    let record = RunRecord::read(&arguments.run).map_err(refused)?;
    match arguments.trial {
        None => show_run(&record)?,
        Some(number) => {
            let trial = record.trials.iter().find(|trial| trial.proposed.trial == number);
            show_trial(&record, trial.ok_or_else(|| unknown_trial(&record, number))?);
        }
    }
    Ok(Exit::Done)
}

fn show_run(record: &RunRecord) -> Result<(), CommandError> {
    let RunRecord { path, config, space, trials, retrained, unfinished, .. } = record;
    match &record.finished_at {
        Some(finished) => say!("Finished at {finished}."),
        None => say!(
            "{} trials have a result; the run goes on, or can be resumed by: nasrl search --resume {}",
            trials.len(),
            path.display()
        ),
    }
    for (trial, tokens) in unfinished {
        say!("Trial {trial} is under way: {tokens}");
    }
    say!("");
    put!("{}", Summary { space, trials, series: &config.series(), retrained });
    if config.strategy == StrategyKind::Rl
        && let Some(bytes) = record.policy().map_err(refused)?
    {
        say!("");
        show_policy(record, &bytes)?;
    }
    Ok(())
}

/// Prints how likely the policy is to choose each value, after the most likely ones before it.
fn show_policy(record: &RunRecord, bytes: &[u8]) -> Result<(), CommandError> {
    let RunRecord { space, config, .. } = record;
    let policy = Policy::restore(&Cpu::serial(), space, &config.controller, bytes);
    let mut policy = policy.map_err(refused)?;
    let mut indices = vec![0_u16; space.decisions().len()];
    let mut rows = Vec::new();
    for (position, decision) in space.decisions().iter().enumerate() {
        let tokens = space.tokens(indices.clone()).map_err(refused)?;
        let distribution = policy.distributions(&tokens).map_err(refused)?.swap_remove(position);
        let mut ranked: Vec<(f64, usize)> =
            distribution.into_iter().enumerate().map(|(index, p)| (p, index)).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        indices[position] = ranked[0].1 as u16;
        let words = |(p, index): &(f64, usize)| format!("{} {p:.2}", decision.values()[*index]);
        let likely = ranked.iter().take(SHOWN_VALUES).map(words).collect::<Vec<_>>().join(", ");
        let more = if ranked.len() > SHOWN_VALUES { ", .." } else { "" };
        rows.push(vec![decision.name().to_owned(), likely + more]);
    }
    let columns = [
        Column { title: "decision", align: Align::Left },
        Column {
            title: "probabilities, each after the most likely choices before it",
            align: Align::Left,
        },
    ];
    say!("The policy:");
    put!("{}", table(&columns, rows.into_iter()));
    Ok(())
}

/// How many values of a decision are shown.
const SHOWN_VALUES: usize = 6;

fn show_trial(record: &RunRecord, trial: &Trial) {
    let proposed = &trial.proposed;
    let clock = &trial.clock;
    let facts = [
        ("trial", Some(proposed.trial.to_string())),
        ("strategy", Some(proposed.strategy.clone())),
        ("status", Some(trial.status.to_string())),
        ("because", trial.detail.clone()),
        ("same as trial", trial.duplicate_of.map(|first| first.to_string())),
        ("tokens", Some(record.space.format(&proposed.tokens))),
        ("architecture", Some(record.space.describe(&proposed.tokens))),
        ("hash", Some(proposed.hash.to_string())),
        ("parameters", proposed.params.map(grouped)),
        ("FLOPs", proposed.flops.map(grouped)),
        ("validation accuracy", trial.validation_accuracy.map(|value| value.to_string())),
        ("reward", Some(trial.reward.to_string())),
        ("log-probability", proposed.log_probability.map(|value| value.to_string())),
        ("policy entropy", proposed.entropy.map(|value| value.to_string())),
        ("redraws", Some(proposed.redraws.to_string())),
        ("started at", Some(clock.started_at.clone())),
        ("finished at", Some(clock.finished_at.clone())),
        ("seconds", clock.evaluation_seconds.map(|value| format!("{value:.3}"))),
        ("images a second", clock.images_per_second.map(|value| format!("{value:.0}"))),
        ("evaluated on", clock.evaluated_on.clone()),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            say!("{name:20}{value}");
        }
    }
    let weights = Best::file(&record.path.join("best"), proposed.trial);
    if weights.exists() {
        say!("{:20}{}", "weights", weights.display());
    }
    if !trial.epochs.is_empty() {
        say!("");
        put!("{}", epochs(&trial.epochs));
    }
}

fn epochs(epochs: &[Epoch]) -> String {
    let columns = [
        Column { title: "epoch", align: Align::Right },
        Column { title: "loss", align: Align::Right },
        Column { title: "training accuracy", align: Align::Right },
        Column { title: "validation accuracy", align: Align::Right },
        Column { title: "images/s", align: Align::Right },
    ];
    let row = |epoch: &Epoch| {
        vec![
            epoch.number.to_string(),
            format!("{:.4}", epoch.loss),
            format!("{:.4}", epoch.training_accuracy),
            epoch.validation_accuracy.map(|value| format!("{value:.4}")).unwrap_or_default(),
            format!("{:.0}", epoch.images_per_second),
        ]
    };
    table(&columns, epochs.iter().map(row))
}

/// A trial that the run does not have.
pub(super) fn unknown_trial(record: &RunRecord, number: u64) -> CommandError {
    let finished = record.trials.len();
    let last = record.trials.last().map_or(0, |trial| trial.proposed.trial);
    refused(format!(
        "{} has no result of trial {number}: it has {finished}, numbered up to {last}",
        record.path.display()
    ))
}
