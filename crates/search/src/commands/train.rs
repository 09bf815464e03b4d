//! `nasrl train`

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use nasrl_child::data::ValidationSplit;
use nasrl_child::recipe::Order;
use nasrl_child::{Recipe, Test, TrainError, Trained, Training, Weights};
use nasrl_search::config::{Config, ConfigError, Layers};
use nasrl_search::device::Device;
use nasrl_search::problem::{EMBEDDED, images, open_dataset};
use nasrl_space::{Graph, Space};
use toml::Value;

use super::{Precision, cores, print_epoch, threads, to_value};
use crate::exit::{CommandError, CommandResult, Exit, failed, refused};
use crate::output::say;

/// Train one architecture.
///
/// Prints loss, accuracies and images a second after every epoch. The test images are looked at
/// once, at the end.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The space that the tokens are of: a built-in one (`nasrl space list` lists them), or a TOML
    /// file.
    #[arg(long, value_name = "NAME|FILE", default_value = "reference")]
    space: String,

    /// The architecture: the value of each decision, in order, separated by commas, such as
    /// 3,64,3,64,3,32,3,64; layer by layer with slashes between where skips are decided, such as
    /// "3,3,24 / 3,5,36,1 / 7,1,48,01", with any number of layers that the space has.
    #[arg(long, value_name = "VALUES")]
    tokens: String,

    /// The images: embedded, or a folder with IDX files, CIFAR-10 or CIFAR-100 in their binary
    /// form, or class folders of PNG or JPEG.
    #[arg(long, value_name = "embedded|DIR", default_value = EMBEDDED)]
    data: String,

    /// How to train, apart from what is set: as in the reference implementation (Adam 0.001, no
    /// augmentation), or as in arXiv 1611.01578, section 4.1 (paper: Nesterov momentum 0.9, 0.1,
    /// weight decay 1e-4, whitening, crop and flip). Default: reference.
    #[arg(long, value_name = "reference|paper")]
    recipe: Option<String>,

    /// How many passes over the training images. Default: 10, and 50 with --recipe paper.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    epochs: Option<i64>,

    /// How many images a step. Default: 128, and 64 with --recipe paper.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    batch: Option<i64>,

    /// What initial weights and the order of the images are derived from.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,

    /// The type of activations and their gradients. Default: f32.
    #[arg(long, value_enum)]
    precision: Option<Precision>,

    /// How many threads train. The result does not depend on it. Default: all cores.
    #[arg(long, value_name = "N", value_parser = threads())]
    threads: Option<usize>,

    /// What trains: cpu, cuda (the first GPU), or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: Device,

    /// How many of the training images to hold out for validation; 0 for none. Default: the
    /// dataset's own validation images, else a tenth.
    #[arg(long, value_name = "N")]
    validation: Option<usize>,

    /// Start from the weights in this safetensors file in place of random ones. It has a tensor for
    /// each parameter, layer1.conv.weight for instance, in f32: filters as [filters, height, width,
    /// channels], dense weights as [in, out], vectors as they are.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,

    /// Write the trained weights to this safetensors file.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// Stop after this many steps.
    #[arg(long, value_name = "N")]
    steps: Option<u64>,

    /// Note the loss of every N-th step; --json prints them.
    #[arg(long, value_name = "N", default_value_t = 0)]
    log_every: u64,

    /// Take the training images in the order of the dataset in every epoch.
    #[arg(long)]
    no_shuffle: bool,

    /// A TOML file whose [recipe] to train by, such as the config.toml of a run.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Set one key of the recipe, such as recipe.learning-rate=0.01. Can be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Print a JSON object as the last line, with validation_accuracy, test_accuracy,
    /// images_per_second, and losses, those of the logged steps.
    #[arg(long)]
    json: bool,
}

/// Epochs unless told otherwise: the reference repository's.
const EPOCHS: i64 = 10;

pub(crate) fn run(arguments: &Arguments) -> CommandResult {
    let recipe = recipe(arguments)?;
    let space = Space::open(&arguments.space).map_err(refused)?;
    let tokens = space.parse(&arguments.tokens).map_err(refused)?;
    let validation =
        arguments.validation.map_or(ValidationSplit::Standard, ValidationSplit::HoldOut);
    let dataset = open_dataset(&arguments.data, validation).map_err(refused)?;
    let of = images(&dataset);
    let graph = space.build(&tokens, of.shape, of.classes).map_err(refused)?;
    let devices = arguments.device.open().map_err(refused)?;
    let weights = arguments.weights.as_ref().map(|path| Weights::load(path, &graph));
    let weights = weights.transpose().map_err(refused)?;

    if let Some(path) = &arguments.save {
        require_writable(path).map_err(refused)?;
    }
    say!("{dataset}");
    say!("{}: {} parameters, {} FLOPs", space.describe(&tokens), graph.parameters(), graph.flops());
    let training = Training {
        seed: arguments.seed,
        threads: arguments.threads.unwrap_or_else(cores),
        on_epoch: Some(&mut |epoch| print_epoch(epoch)),
        weights: weights.as_ref(),
        steps: arguments.steps,
        log_every: arguments.log_every,
        test: Test::Measure,
        ..Training::default()
    };
    let (trained, _) =
        devices.train(&graph, &recipe, &dataset, training).map_err(|error| match error {
            TrainError::Recipe(_) | TrainError::Weights(_) => refused(error),
            error => failed(error),
        })?;
    report(&trained, &graph, arguments);
    if let Some(path) = &arguments.save {
        trained.weights.save(path).map_err(failed)?;
    }
    Ok(Exit::Done)
}

/// Refuses a file that could not be written after the training, and leaves what is there.
fn require_writable(path: &Path) -> Result<(), String> {
    let is_new = !path.exists();
    let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    let probed = opened.and_then(|_| if is_new { fs::remove_file(path) } else { Ok(()) });
    probed.map_err(|reason| {
        format!("cannot write {}: {reason}; save to a folder that can be written", path.display())
    })
}

/// The recipe that was named, with what was asked for.
fn recipe(arguments: &Arguments) -> Result<Recipe, CommandError> {
    let mut layers = Layers::new();
    match arguments.recipe.as_deref() {
        None | Some("reference") => layers.set("recipe.epochs", EPOCHS, "default"),
        Some(name) => layers.set("recipe", name, "--recipe"),
    }
    .map_err(refused)?;
    if let Some(path) = &arguments.config {
        layers.file(path).map_err(refused)?;
    }
    for assignment in &arguments.set {
        layers.assignment(assignment).map_err(refused)?;
    }
    let order = arguments.no_shuffle.then(|| to_value(Order::Fixed));
    let flags = [
        ("recipe.epochs", "--epochs", arguments.epochs.map(Value::from)),
        ("recipe.batch", "--batch", arguments.batch.map(Value::from)),
        ("recipe.precision", "--precision", arguments.precision.map(to_value)),
        ("recipe.order", "--no-shuffle", order),
    ];
    for (key, flag, value) in flags {
        if let Some(value) = value {
            layers.set(key, value, flag).map_err(refused)?;
        }
    }
    match layers.resolve() {
        Ok(Config { recipe: Some(recipe), .. }) => Ok(recipe),
        Ok(_) | Err(ConfigError::BesideTable) => {
            Err(refused("a search by a table trains nothing: its configuration has no recipe"))
        }
        Err(error) => Err(refused(error)),
    }
}

fn report(trained: &Trained, graph: &Graph, arguments: &Arguments) {
    let last = trained.epochs.last();
    let validation = last.and_then(|epoch| epoch.validation_accuracy);
    let mut rates: Vec<f64> = trained.epochs.iter().map(|epoch| epoch.images_per_second).collect();
    rates.sort_unstable_by(f64::total_cmp);
    let rate = rates.get(rates.len() / 2);
    if arguments.json {
        let losses: Vec<f32> = trained.losses.iter().map(|step| step.loss).collect();
        let report = serde_json::json!({
            "tokens": arguments.tokens,
            "hash": graph.hash().to_string(),
            "parameters": graph.parameters(),
            "flops": graph.flops(),
            "epochs": trained.epochs.len(),
            "loss": last.map(|epoch| epoch.loss),
            "training_accuracy": last.map(|epoch| epoch.training_accuracy),
            "validation_accuracy": validation,
            "test_accuracy": trained.test_accuracy,
            "images_per_second": rate,
            "losses": losses,
        });
        say!("{report}");
        return;
    }
    for step in &trained.losses {
        say!("step {}: loss {:.6}", step.step, step.loss);
    }
    match trained.test_accuracy {
        Some(accuracy) => say!("test accuracy {accuracy:.4}"),
        None => say!("no test images"),
    }
}
