//! The flags of `nasrl search` that are part of its configuration.

use std::path::PathBuf;

use nasrl_controller::Preset;
use nasrl_search::amount::Amount;
use nasrl_search::clock::Span;
use nasrl_search::config::{Baseline, ConfigError, Layers, StrategyKind};
use nasrl_search::depth::DepthRange;
use nasrl_search::device::Device;
use toml::Value;

use crate::commands::{Precision, to_value};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The space to search: a built-in one (`nasrl space list` lists them), or a TOML file. Default:
    /// reference.
    #[arg(long, value_name = "NAME|FILE")]
    space: Option<String>,

    /// How many layers networks have, in a space of several depths, or with how many the search
    /// begins and ends: 2 more after every 1,600 trials of a strategy (arXiv 1611.01578, section
    /// 4.1; --set depth.step=N, --set depth.period=N). Default: all depths of the space.
    #[arg(long, value_name = "N|FROM..TO", conflicts_with = "table")]
    depth: Option<DepthRange>,

    /// Try no network with more trainable parameters, such as 500K or 2.5M. A strategy draws again;
    /// where it does not redraw (paper, reference), the trial is failed as too_large. Default: no
    /// limit.
    #[arg(long, value_name = "N", conflicts_with = "table")]
    max_params: Option<Amount>,

    /// Try no network with more floating-point operations in one image's forward pass, two a
    /// multiply-add, such as 30M. Default: no limit.
    #[arg(long, value_name = "N", conflicts_with = "table")]
    max_flops: Option<Amount>,

    /// Try no network whose training takes more bytes of memory, such as 512MiB or 2G, by an
    /// estimate for --threads. The images and other children come on top. Default: no limit.
    #[arg(long, value_name = "BYTES", conflicts_with = "table")]
    max_memory: Option<Amount>,

    /// The images: embedded, or a folder with IDX files, CIFAR-10 or CIFAR-100 in their binary
    /// form, or class folders of PNG or JPEG. Default: embedded.
    #[arg(long, value_name = "embedded|DIR")]
    data: Option<String>,

    /// Look rewards up in a table of known results in place of training: CSV with a column for each
    /// decision, then a column `reward`, then any others; or the JSON of NAS-Bench-Macro.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["space", "data", "recipe", "epochs", "precision"])]
    table: Option<String>,

    /// What proposes architectures: a controller that learns by reinforcement, or uniform draws
    /// without repetition. Default: rl.
    #[arg(long, value_enum)]
    strategy: Option<StrategyKind>,

    /// What to compare it with, at the same number of trials. Default: random, and none for
    /// --strategy random.
    #[arg(long, value_enum)]
    baseline: Option<Baseline>,

    /// The controller's hyperparameters: ours for small budgets (default), those of arXiv
    /// 1611.01578 (paper), which need thousands of trials, or those of
    /// titu1994/neural-architecture-search (reference). Default: default.
    #[arg(long, value_name = "default|paper|reference")]
    preset: Option<Preset>,

    /// How many architectures the strategy tries, and the baseline too. Default: 26.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    trials: Option<i64>,

    /// How children are trained, apart from what is set: as in the reference implementation (Adam
    /// 0.001, no augmentation), or as in arXiv 1611.01578, section 4.1 (paper: Nesterov momentum 0.9,
    /// 0.1, weight decay 1e-4, whitening, crop and flip, 50 epochs). Default: reference.
    #[arg(long, value_name = "reference|paper")]
    recipe: Option<String>,

    /// How many epochs each child is trained. Default: 3, and 50 with --recipe paper. The best one is trained anew for
    /// --set retrain-epochs=N, by default 10 or as many as here.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    epochs: Option<i64>,

    /// How many trials the controller learns from at once. Default: the preset's; 1, and 8 for
    /// paper.
    #[arg(long, value_name = "M", allow_negative_numbers = true)]
    children_per_update: Option<i64>,

    /// How many of its latest trials the strategy does not know of when it proposes; one more can be
    /// trained at once. The result depends on it, and not on --jobs. Default: 3, and 0 with a
    /// table.
    #[arg(long, value_name = "L", allow_negative_numbers = true)]
    lag: Option<i64>,

    /// What children are trained on, and where the controller computes: cpu, cuda (the first GPU),
    /// cuda:N, or cuda:all. Default: cpu.
    #[arg(long, value_name = "DEVICE")]
    device: Option<Device>,

    /// How many children are trained at once. Default: as far as --lag allows, on the processor one
    /// a core.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    jobs: Option<i64>,

    /// How many threads train each child on the processor. Default: the cores divided by --jobs.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    threads: Option<i64>,

    /// What everything random is derived from. Default: 0.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<i64>,

    /// The type of activations and their gradients in children. Default: f32.
    #[arg(long, value_enum)]
    precision: Option<Precision>,

    /// Stop handing out trials after this time, such as 90s, 30m, 2h or 1d. Those that are being
    /// trained are finished, and the run can be resumed.
    #[arg(long, value_name = "TIME")]
    max_time: Option<Span>,

    /// A TOML file with any of the options and everything else that can be configured, as the
    /// config.toml of a run, which can be given here.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Set one key of the configuration, such as recipe.batch=64 or controller.learning-rate=0.1;
    /// wins over --config. Can be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Options {
    /// Adds what was given: the recipe, which the others may change in part, the file, `--set`, and
    /// flags.
    pub(super) fn add_to(&self, layers: &mut Layers) -> Result<(), ConfigError> {
        if let Some(recipe) = &self.recipe {
            layers.set("recipe", recipe.clone(), "--recipe")?;
        }
        if let Some(path) = &self.config {
            layers.file(path)?;
        }
        for assignment in &self.set {
            layers.assignment(assignment)?;
        }
        let word = |word: String| Value::String(word);
        let flags = [
            ("table", "--table", self.table.clone().map(word)),
            ("strategy", "--strategy", self.strategy.map(to_value)),
            ("space", "--space", self.space.clone().map(word)),
            ("data", "--data", self.data.clone().map(word)),
            ("depth.start", "--depth", self.depth.map(|range| Value::from(range.start as i64))),
            ("depth.end", "--depth", self.depth.map(|range| Value::from(range.end as i64))),
            ("limits.params", "--max-params", self.max_params.map(to_value)),
            ("limits.flops", "--max-flops", self.max_flops.map(to_value)),
            ("limits.memory", "--max-memory", self.max_memory.map(to_value)),
            ("baseline", "--baseline", self.baseline.map(to_value)),
            ("preset", "--preset", self.preset.map(to_value)),
            ("trials", "--trials", self.trials.map(Value::from)),
            ("recipe.epochs", "--epochs", self.epochs.map(Value::from)),
            ("recipe.precision", "--precision", self.precision.map(to_value)),
            (
                "controller.children-per-update",
                "--children-per-update",
                self.children_per_update.map(Value::from),
            ),
            ("lag", "--lag", self.lag.map(Value::from)),
            ("device", "--device", self.device.map(to_value)),
            ("jobs", "--jobs", self.jobs.map(Value::from)),
            ("threads", "--threads", self.threads.map(Value::from)),
            ("seed", "--seed", self.seed.map(Value::from)),
            ("max-time", "--max-time", self.max_time.map(to_value)),
        ];
        for (key, flag, value) in flags {
            if let Some(value) = value {
                layers.set(key, value, flag)?;
            }
        }
        Ok(())
    }
}
