//! What a search found, in words.

use std::fmt;

use nasrl_space::Space;

use crate::comparison::{Comparison, Difference, RESAMPLINGS, best, mean};
use crate::run::Retrained;
use crate::text::{Column, grouped, table};
use crate::{Status, Trial};

/// What a search found. Prints as a table of the best children, the strategies side by side, and
/// the children that were trained again.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// The space that was searched.
    pub space: &'a Space,
    /// The finished trials, in order.
    pub trials: &'a [Trial],
    /// The names of the strategy and of the baseline if there is one.
    pub series: &'a [&'a str],
    /// The children that were trained again.
    pub retrained: &'a [Retrained],
}

/// How many children the table has.
const SHOWN: usize = 5;

impl Summary<'_> {
    fn of(&self, series: &str) -> Vec<&Trial> {
        self.trials.iter().filter(|trial| trial.proposed.strategy == series).collect()
    }

    fn write_best(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranking = Trial::ranking(self.trials);
        if ranking.is_empty() {
            return writeln!(f, "No trial has a result.");
        }
        writeln!(f, "Best architectures of the search:")?;
        let columns = [
            Column::numbers("trial"),
            Column::words("strategy"),
            Column::numbers("reward"),
            Column::numbers("validation accuracy"),
            Column::numbers("parameters"),
            Column::numbers("FLOPs"),
            Column::words("architecture"),
        ];
        let rows = ranking.iter().take(SHOWN).map(|trial| {
            let proposed = &trial.proposed;
            vec![
                proposed.trial.to_string(),
                proposed.strategy.clone(),
                decimals(trial.reward),
                trial.validation_accuracy.map(decimals).unwrap_or_default(),
                proposed.params.map(grouped).unwrap_or_default(),
                proposed.flops.map(grouped).unwrap_or_default(),
                self.space.describe(&proposed.tokens),
            ]
        });
        f.write_str(&table(&columns, rows))
    }

    fn write_series(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = [
            Column::words("strategy"),
            Column::numbers("trials"),
            Column::numbers("evaluated"),
            Column::numbers("duplicates"),
            Column::numbers("failed"),
            Column::numbers("draws over limits"),
            Column::numbers("mean reward"),
            Column::numbers("best reward"),
        ];
        let rows = self.series.iter().map(|name| {
            let trials = self.of(name);
            let count = |status: fn(Status) -> bool| {
                trials.iter().filter(|trial| status(trial.status)).count().to_string()
            };
            let rewards = rewards(&trials);
            vec![
                (*name).to_owned(),
                trials.len().to_string(),
                count(|status| status == Status::Done),
                count(|status| status == Status::Duplicate),
                count(|status| matches!(status, Status::Failed(_))),
                over_limits(&trials),
                if rewards.is_empty() { String::new() } else { decimals(mean(&rewards)) },
                if rewards.is_empty() { String::new() } else { decimals(best(&rewards)) },
            ]
        });
        f.write_str(&table(&columns, rows))
    }

    fn write_comparison(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [strategy, baseline] = self.series else { return Ok(()) };
        let [ours, theirs] = [strategy, baseline].map(|name| rewards(&self.of(name)));
        let Some(Comparison { means, bests }) = Comparison::new(&ours, &theirs) else {
            return Ok(());
        };
        let words = |Difference { value, low, high }: Difference| {
            format!("{value:+.4}, 95 % interval {low:+.4} to {high:+.4}")
        };
        writeln!(f, "{strategy} less {baseline}, mean reward: {}", words(means))?;
        writeln!(f, "{strategy} less {baseline}, best reward: {}", words(bests))?;
        writeln!(
            f,
            "(Percentile bootstrap over the trials of one seed, {} resamplings: how much the trials\n\
             scatter, not what another seed would bring.)",
            grouped(RESAMPLINGS as u64)
        )
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_best(f)?;
        writeln!(f)?;
        self.write_series(f)?;
        self.write_comparison(f)?;
        if !self.retrained.is_empty() {
            writeln!(f)?;
        }
        self.retrained.iter().try_for_each(|retrained| writeln!(f, "{retrained}"))
    }
}

/// The rewards of all trials: duplicates share their original's, failures have theirs.
fn rewards(trials: &[&Trial]) -> Vec<f64> {
    trials.iter().map(|trial| trial.reward).collect()
}

/// How many draws were over a limit, if any was.
fn over_limits(trials: &[&Trial]) -> String {
    match trials.iter().map(|trial| trial.proposed.over_limits).sum() {
        0 => String::new(),
        draws => grouped(draws),
    }
}

fn decimals(number: f64) -> String {
    format!("{number:.4}")
}
