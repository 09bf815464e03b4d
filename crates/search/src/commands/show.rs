//! `nasrl show`

mod policy;
mod trial;

use std::path::PathBuf;

use nasrl_search::Trial;
use nasrl_search::run::RunRecord;
use nasrl_search::summary::Summary;

use super::tune::settings_table;
use super::which::Which;
use crate::exit::{CommandError, CommandResult, Exit, refused};
use crate::output::{put, say};
use policy::show_policy;
use trial::show_trial;

/// Look at a run, or at one trial of it; also while it goes on.
///
/// Of a run: the best architectures, the strategies side by side, the children that were trained
/// anew, and how likely the controller is to choose each value of each decision, on average over
/// its choices of the other decisions. Of a trial: its architecture as a drawing, its costs, its
/// epochs.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the run.
    run: PathBuf,

    /// The number of the trial, or `best`. Without it: what the whole run found so far.
    trial: Option<Which>,
}

pub(crate) fn run(arguments: &Arguments) -> CommandResult {
    let record = RunRecord::read(&arguments.run).map_err(refused)?;
    match arguments.trial {
        None => show_run(&record)?,
        Some(which) => show_trial(&record, which.of(&record)?),
    }
    Ok(Exit::Done)
}

/// How many settings of tuning are shown.
const SETTINGS: usize = 5;

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
    let tuned = Trial::ranked(trials.iter().filter(|trial| trial.proposed.setting.is_some()));
    if !tuned.is_empty() {
        say!("\nBest settings of tuning:");
        put!("{}", settings_table(tuned.into_iter().take(SETTINGS)));
    }
    if let Some(mut policy) = record.policy().map_err(refused)? {
        say!("");
        show_policy(&mut policy)?;
    }
    Ok(())
}
