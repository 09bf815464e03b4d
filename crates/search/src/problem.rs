//! What a configuration names: the space, and where rewards come from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nasrl_child::data::{DataError, Dataset, Split, ValidationSplit};
use nasrl_space::{Image, Space, SpaceError};

use crate::config::{Config, ConfigError, DataSource, SpaceSource, TableSource};
use crate::depth::{Depth, Stages};
use crate::device::Devices;
use crate::table::{Table, TableError};
use crate::{Architectures, Bounds, ChildEvaluator, Evaluator, Images, TableEvaluator};

/// A space, where its rewards come from and what computes, opened and checked.
#[derive(Debug)]
pub struct Problem {
    space: Space,
    rewards: Rewards,
    devices: Devices,
}

/// Where rewards come from.
#[derive(Clone, Debug)]
enum Rewards {
    /// Children trained on these images.
    Children(Dataset),
    /// Known results.
    Table(Table),
}

/// Why a problem cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemError {
    /// The configuration does not say what is needed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The space.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// The images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The device.
    #[error(transparent)]
    Device(#[from] nasrl_tensor::Error),
    /// Something else than what the configuration was made with.
    #[error(
        "{what} {source_name} is not the one that this configuration was made with: its digest is \
         {found}, expected {expected}; restore it, or start a new run without {key}"
    )]
    Digest {
        /// What it is.
        what: &'static str,
        /// Where it comes from.
        source_name: String,
        /// The digest found.
        found: String,
        /// The digest in the configuration.
        expected: String,
        /// The key of the latter.
        key: &'static str,
    },
}

/// The name of the images that come with the program.
pub const EMBEDDED: &str = "embedded";

impl Problem {
    /// Opens what the configuration names, and completes it: paths become absolute, and the
    /// definition of the space and the digests of data and table are filled in.
    ///
    /// # Errors
    /// [`ProblemError`] for whatever cannot be opened or is not what the configuration was made
    /// with.
    pub fn open(config: &mut Config) -> Result<Problem, ProblemError> {
        if let Some(source) = &mut config.table {
            let (table, devices) = (open_table(source)?, config.device.open()?);
            let space = table.space().clone();
            return Ok(Problem { space, rewards: Rewards::Table(table), devices });
        }
        let (Some(space), Some(data)) = (&mut config.space, &mut config.data) else {
            return Err(ConfigError::Incomplete.into());
        };
        let space = cut(open_space(space)?, &mut config.depth)?;
        let dataset = open_data(data)?;
        let devices = config.device.open()?;
        let problem = Problem { space, rewards: Rewards::Children(dataset), devices };
        problem.require_networks()?;
        Ok(problem)
    }

    /// The space, without the depths that are not searched.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// What computes.
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// The images that children are trained on; `None` for a table.
    pub fn dataset(&self) -> Option<&Dataset> {
        match &self.rewards {
            Rewards::Children(dataset) => Some(dataset),
            Rewards::Table(_) => None,
        }
    }

    /// What networks are built for; `None` for a table.
    pub fn images(&self) -> Option<Images> {
        self.dataset().map(images)
    }

    /// The architectures of the space.
    pub fn architectures(&self) -> Architectures<'_> {
        match self.images() {
            Some(images) => Architectures::networks(&self.space, images),
            None => Architectures::token_strings(&self.space),
        }
    }

    /// The architectures of the space, those that cost more than `config` allows being over a limit.
    pub fn architectures_within<'a>(&'a self, config: &'a Config) -> Architectures<'a> {
        let Config { limits, threads, .. } = *config;
        let devices = &self.devices;
        match &config.recipe {
            Some(recipe) => {
                self.architectures().within(Bounds { limits, recipe, threads, devices })
            }
            None => self.architectures(),
        }
    }

    /// The space in the course of a strategy's trials.
    ///
    /// # Errors
    /// [`SpaceError`] if it cannot be cut.
    pub fn stages(&self, config: &Config) -> Result<Stages, SpaceError> {
        match &config.depth {
            Some(depth) => Stages::growing(&self.space, depth),
            None => Ok(Stages::whole(&self.space)),
        }
    }

    /// What turns them into rewards.
    ///
    /// # Errors
    /// [`ConfigError::Incomplete`] without what children need.
    pub fn evaluator(&self, config: &Config) -> Result<Box<dyn Evaluator + '_>, ConfigError> {
        Ok(match (&self.rewards, &config.recipe, &config.table) {
            (Rewards::Children(dataset), Some(recipe), _) => {
                Box::new(ChildEvaluator::new((dataset, &self.devices), recipe.clone(), config))
            }
            (Rewards::Table(table), _, Some(source)) => {
                let delay = Duration::from_secs_f64(source.seconds_per_trial);
                Box::new(TableEvaluator::new(table, config.reward, delay))
            }
            _ => return Err(ConfigError::Incomplete),
        })
    }

    /// What rewards come from, in words.
    pub fn describe(&self) -> String {
        match &self.rewards {
            Rewards::Children(dataset) => dataset.to_string(),
            Rewards::Table(table) => {
                format!("table {}: results of {} token strings", table.file(), table.len())
            }
        }
    }

    /// Refuses a space that describes no networks.
    fn require_networks(&self) -> Result<(), SpaceError> {
        let first = self.space.iter().next().map(|tokens| self.architectures().build(&tokens));
        match first.map(|architecture| architecture.graph) {
            Some(Err(refused @ SpaceError::NoNetwork { .. })) => Err(refused),
            _ => Ok(()),
        }
    }
}

/// The shape and number of classes of a dataset, as networks are built for.
pub fn images(dataset: &Dataset) -> Images {
    let nasrl_child::data::ImageShape { height, width, channels } = dataset.shape;
    Images { shape: Image { height, width, channels }, classes: dataset.classes.len() }
}

/// The dataset of this name or in this folder.
///
/// # Errors
/// As [`Dataset::open`].
pub fn open_dataset(source: &str, validation: ValidationSplit) -> Result<Dataset, DataError> {
    match source {
        EMBEDDED => Dataset::embedded(validation),
        path => Dataset::open(path, validation),
    }
}

fn open_table(source: &mut TableSource) -> Result<Table, ProblemError> {
    let path = PathBuf::from(&source.source);
    let table = Table::open(&path)?;
    agree("table", "table.digest", &source.source, table.digest(), &mut source.digest)?;
    source.source = absolute(&path);
    Ok(table)
}

fn open_space(source: &mut SpaceSource) -> Result<Space, SpaceError> {
    if let Some(definition) = &source.definition {
        return Space::from_toml(definition, &format!("space.definition of {}", source.source));
    }
    let space = Space::open(&source.source)?;
    source.definition = Some(space.to_toml());
    if !Space::built_in().any(|name| name == source.source) {
        source.source = absolute(Path::new(&source.source));
    }
    Ok(space)
}

/// The part of a space that is searched. Where it has one depth only, nothing is left to configure.
fn cut(space: Space, depth: &mut Option<Depth>) -> Result<Space, SpaceError> {
    let mut wanted = depth.take().unwrap_or_default();
    let part = wanted.part_of(&space)?;
    if space.depths().count() > 1 {
        wanted.complete(&space);
        *depth = Some(wanted);
    }
    Ok(part)
}

fn open_data(source: &mut DataSource) -> Result<Dataset, ProblemError> {
    let validation = source.validation.map_or(ValidationSplit::Standard, ValidationSplit::HoldOut);
    if source.source != EMBEDDED {
        source.source = absolute(Path::new(&source.source));
    }
    let dataset = open_dataset(&source.source, validation)?;
    agree("dataset", "data.digest", &source.source, digest(&dataset), &mut source.digest)?;
    source.description = Some(dataset.to_string());
    Ok(dataset)
}

/// Records a digest, or compares it with the one that is recorded.
fn agree(
    what: &'static str,
    key: &'static str,
    source: &str,
    found: String,
    recorded: &mut Option<String>,
) -> Result<(), ProblemError> {
    match recorded.replace(found.clone()) {
        Some(expected) if expected != found => {
            Err(ProblemError::Digest { what, source_name: source.to_owned(), found, expected, key })
        }
        _ => Ok(()),
    }
}

/// A hash of everything that rewards depend on: shape, classes, training and validation images.
fn digest(dataset: &Dataset) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(dataset.shape.to_string().as_bytes());
    for class in &dataset.classes {
        hasher.update(&(class.len() as u64).to_le_bytes()).update(class.as_bytes());
    }
    let mut add = |split: &Split| {
        hasher.update(&(split.len() as u64).to_le_bytes()).update(split.images());
        let labels: Vec<u8> = split.labels().iter().flat_map(|label| label.to_le_bytes()).collect();
        hasher.update(&labels);
    };
    add(&dataset.train);
    if let Some(validation) = &dataset.validation {
        add(validation);
    }
    hasher.finalize().to_hex().to_string()
}

/// A path that does not depend on where the program runs; as it is if the system does not tell.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.into()).display().to_string()
}
