use std::path::Path;
use std::time::Instant;

use nasrl_search::clock::Span;
use nasrl_search::config::{DataSource, Layers};
use nasrl_search::device::Device;
use nasrl_search::problem::Problem;
use nasrl_search::run::{Existing, Recorder, RunDirectory};
use nasrl_search::scheduler::{Ending, Listener, Reason};
use nasrl_search::search::search as search_run;
use nasrl_search::{Status, Stop};
use nasrl_space::Space;
use serde::Serialize;

use super::{Block, Check, CheckError};

/// What [`search`] runs.
#[derive(Clone, Debug)]
pub struct SearchSizes {
    /// The images: `embedded` or a folder.
    pub data: String,
    /// How many children the controller tries.
    pub trials: u64,
    /// Epochs of each.
    pub epochs: usize,
    /// How many are trained at once.
    pub jobs: usize,
}

#[derive(Serialize)]
struct Searched {
    trials: usize,
    failed: usize,
    epochs: usize,
    jobs: usize,
    seconds: f64,
    best_reward: f64,
    best_tokens: String,
}

/// The run records everything.
struct Silent;

impl Listener for Silent {}

/// Searches the reference space, with the controller and the children on the
/// GPU, and returns how many trials failed or are missing, unless it is the time that ended them.
/// The run's directory stands beside the report's files; of a folder of images it names the last
/// part, so that results tell nothing of the machine's folders.
///
/// # Errors
/// [`CheckError::Search`] and [`CheckError::Report`].
pub fn search(check: &mut Check<'_>) -> Result<usize, CheckError> {
    if check.budget.is_over() {
        return Ok(0);
    }
    let SearchSizes { trials, epochs, jobs, .. } = check.sizes.search;
    let started = Instant::now();
    let (ending, space) = run(check, &check.sizes.search).map_err(CheckError::Search)?;
    let found = ending.trials;
    let seconds = started.elapsed().as_secs_f64();
    let failed = found.iter().filter(|trial| matches!(trial.status, Status::Failed(_))).count();
    let best = found.iter().max_by(|a, b| a.reward.total_cmp(&b.reward));
    let searched = Searched {
        trials: found.len(),
        failed,
        epochs,
        jobs,
        seconds,
        best_reward: best.map_or(0.0, |trial| trial.reward),
        best_tokens: best.map_or(String::new(), |trial| space.format(&trial.proposed.tokens)),
    };
    check.report.line(Block::Search, &searched)?;
    let missing = match ending.reason {
        Reason::Deadline => 0,
        _ => usize::try_from(trials).unwrap_or(usize::MAX).saturating_sub(found.len()),
    };
    Ok(failed + missing)
}

fn run(
    check: &Check<'_>,
    SearchSizes { data, trials, epochs, jobs }: &SearchSizes,
) -> Result<(Ending, Space), Box<dyn std::error::Error + Send + Sync>> {
    let mut layers = Layers::new();
    let device = Device::Gpu(check.ordinal);
    let text = format!(
        "data = {data:?}\ntrials = {trials}\njobs = {jobs}\nthreads = 1\nbaseline = \"none\"\n\
         device = \"{device}\"\n[recipe]\nepochs = {epochs}\n"
    );
    layers.text(&text, "gpu-check")?;
    let mut config = layers.resolve()?;
    let problem = Problem::open(&mut config)?;
    config.max_time = check.budget.left().map(Span::from);
    config.data.as_mut().map(without_folders);
    let path = check.report.folder().join("search");
    let run = RunDirectory::create(&path, &config, &problem, Existing::Replace)?;
    let (mut recorder, known) = Recorder::open(&run, run.ledger()?, problem.space(), 0)?;
    let stop = Stop::new();
    let ending = search_run(&config, &problem, (&mut recorder, known), &stop, &mut Silent)?;
    Ok((ending, problem.space().clone()))
}

/// Where the images come from, without the folders that lead there.
fn without_folders(data: &mut DataSource) {
    let name = Path::new(&data.source).file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let path = std::mem::replace(&mut data.source, name);
    if let Some(description) = &mut data.description {
        *description = description.replace(&path, &data.source);
    }
}
