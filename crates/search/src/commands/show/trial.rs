//! One trial.

use nasrl_child::Epoch;
use nasrl_search::run::RunRecord;
use nasrl_search::text::{Column, grouped, table};
use nasrl_search::{Images, Trial};

use crate::commands::drawing;
use crate::output::{put, say};

/// Prints all that is known of a trial.
pub(super) fn show_trial(record: &RunRecord, trial: &Trial) {
    let proposed = &trial.proposed;
    let clock = &trial.clock;
    let facts = [
        ("trial", Some(proposed.trial.to_string())),
        ("strategy", Some(proposed.strategy.clone())),
        ("status", Some(trial.status.to_string())),
        ("because", trial.detail.clone()),
        ("same as trial", trial.duplicate_of.map(|first| first.to_string())),
        ("tokens", Some(record.space.format(&proposed.tokens))),
        ("setting", proposed.setting.map(|setting| setting.to_string())),
        ("architecture", Some(record.space.describe(&proposed.tokens))),
        ("hash", Some(proposed.hash.to_string())),
        ("parameters", proposed.params.map(grouped)),
        ("FLOPs", proposed.flops.map(grouped)),
        ("validation accuracy", trial.validation_accuracy.map(|value| value.to_string())),
        ("reward", Some(trial.reward.to_string())),
        ("log-probability", proposed.log_probability.map(|value| value.to_string())),
        ("policy entropy", proposed.entropy.map(|value| value.to_string())),
        ("redraws", Some(proposed.redraws.to_string())),
        ("draws over limits", Some(proposed.over_limits.to_string())),
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
    if let Some(weights) = record.weights(proposed.trial) {
        say!("{:20}{}", "weights", weights.display());
    }
    let build = |images: Images| record.space.build(&proposed.tokens, images.shape, images.classes);
    if let Some(Ok(graph)) = record.images.map(build) {
        put!("\n{}", drawing(&graph));
    }
    if !trial.epochs.is_empty() {
        say!("");
        put!("{}", epochs(&trial.epochs));
    }
}

fn epochs(epochs: &[Epoch]) -> String {
    let columns = [
        Column::numbers("epoch"),
        Column::numbers("loss"),
        Column::numbers("training accuracy"),
        Column::numbers("validation accuracy"),
        Column::numbers("images/s"),
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
