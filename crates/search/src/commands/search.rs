//! `nasrl search`

mod ending;
mod options;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nasrl_search::Stop;
use nasrl_search::clock::utc;
use nasrl_search::config::{Config, Layers};
use nasrl_search::depth::Depth;
use nasrl_search::problem::Problem;
use nasrl_search::run::{Existing, Recorder, RunDirectory, RunRecord, read_config};
use nasrl_search::search::search;
use nasrl_search::text::large;
use nasrl_space::Space;

use crate::exit::{CommandResult, Exit, failed, refused};
use crate::output::{remark, say};
use crate::progress::Progress;
use options::Options;

/// Search for a good architecture.
///
/// A strategy proposes architectures, each is trained, and its accuracy on the validation images is
/// the reward that the strategy learns from. Then random search does the same for comparison, and
/// the best child is trained anew and tested.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,

    /// The directory of the run, which must not exist or be empty. Default:
    /// runs/TIME-SPACE.
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,

    /// Replace the run that --out names, if there is one.
    #[arg(long, requires = "out", conflicts_with = "resume")]
    force: bool,

    /// Go on with a run that was stopped or killed. Of the other options only --jobs, --threads and
    /// --max-time may differ from what it began with.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    resume: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> CommandResult {
    match &arguments.resume {
        Some(path) => resume(path, &arguments.options),
        None => begin(&arguments),
    }
}

fn begin(arguments: &Arguments) -> CommandResult {
    let mut layers = Layers::new();
    arguments.options.add_to(&mut layers).map_err(refused)?;
    let mut config = layers.resolve().map_err(refused)?;
    let problem = Problem::open(&mut config).map_err(refused)?;
    let path = arguments.out.clone().unwrap_or_else(|| default_path(problem.space()));
    let stop = Stop::on_signals().map_err(refused)?;
    let existing = if arguments.force { Existing::Replace } else { Existing::Refuse };
    let created = RunDirectory::create(&path, &config, &problem, existing);
    let run = created.map_err(refused)?;
    work(&run, &config, &problem, &stop)
}

fn resume(path: &Path, options: &Options) -> CommandResult {
    let recorded = read_config(path).map_err(refused)?;
    let mut layers = Layers::new();
    layers
        .text(&Config { max_time: None, ..recorded.clone() }.to_toml(), "config.toml")
        .map_err(refused)?;
    options.add_to(&mut layers).map_err(refused)?;
    let mut config = layers.resolve().map_err(refused)?;
    let run = RunDirectory::open(path).map_err(refused)?;
    let record = RunRecord::read(path).map_err(refused)?;
    if let Some(finished) = &record.finished_at {
        let ledger = run.ledger().map_err(refused)?;
        run.check(&ledger, &recorded, &config, &record.space).map_err(refused)?;
        say!("This run was finished at {finished}; there is nothing left to do.\n");
        let RunRecord { space, trials, retrained, .. } = &record;
        ending::summarize(path, space, &config, trials, retrained);
        return Ok(Exit::Done);
    }
    let problem = Problem::open(&mut config).map_err(refused)?;
    run.check(&run.ledger().map_err(refused)?, &recorded, &config, problem.space())
        .map_err(refused)?;
    let stop = Stop::on_signals().map_err(refused)?;
    work(&run, &config, &problem, &stop)
}

/// Does what is left to do of a run.
fn work(run: &RunDirectory, config: &Config, problem: &Problem, stop: &Stop) -> CommandResult {
    introduce(run, config, problem);
    carry_on(run, config, problem, stop).map_err(|reason| {
        let run = run.path().display();
        failed(format!("{reason}\nNothing that was finished is lost: nasrl search --resume {run}"))
    })
}

fn carry_on(
    run: &RunDirectory,
    config: &Config,
    problem: &Problem,
    stop: &Stop,
) -> Result<Exit, Box<dyn Error>> {
    let (mut recorder, known) = Recorder::open(run, run.ledger()?, problem.space(), 0)?;
    recorder.log(&format!("searching with {} results known", known.len()))?;
    let mut progress = Progress::new(config.trials * config.series().len() as u64);
    let ending = search(config, problem, (&mut recorder, known), stop, &mut progress);
    progress.finish();
    ending::conclude(run.path(), config, problem, &mut recorder, &ending?, stop)
}

fn introduce(run: &RunDirectory, config: &Config, problem: &Problem) {
    let space = problem.space();
    say!(
        "space {}: {} decisions, {} token strings",
        space.name(),
        space.decisions().len(),
        large(&space.count())
    );
    if let Some(Depth { start: Some(start), end: Some(end), step, period }) = &config.depth {
        match start == end {
            true => say!("{end} layers"),
            false => say!("from {start} to {end} layers, {step} more after every {period} trials"),
        }
    }
    if !config.limits.is_none() {
        say!("at most {}", config.limits);
    }
    say!("{}", problem.describe());
    let series = config.series();
    let epochs = config.recipe.as_ref().map(|recipe| match recipe.epochs {
        1 => ", 1 epoch each".to_owned(),
        epochs => format!(", {epochs} epochs each"),
    });
    say!(
        "{} trials of {}{}; preset {}, lag {}, seed {}, {} at once",
        config.trials,
        series.join(" and of "),
        epochs.unwrap_or_default(),
        config.preset,
        config.lag,
        config.seed,
        config.jobs,
    );
    say!("run directory: {}\n", run.path().display());
}

/// A new directory below `runs`, named after the time and the space.
fn default_path(space: &Space) -> PathBuf {
    let time = utc(SystemTime::now()).replace(':', "-");
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = space.name().chars().map(plain).collect();
    let numbered = |number: u32| match number {
        1 => Path::new("runs").join(format!("{time}-{name}")),
        number => Path::new("runs").join(format!("{time}-{name}-{number}")),
    };
    (1..).map(numbered).find(|path| !path.exists()).unwrap_or_else(|| numbered(1))
}

/// How a stopped search is gone on with.
fn say_how_to_resume(run: &Path) -> Exit {
    remark!("Stopped. Go on with: nasrl search --resume {}", run.display());
    Exit::Stopped
}
