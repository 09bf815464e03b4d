//! What can go wrong when a child is trained.

use std::io;
use std::path::PathBuf;

use nasrl_space::Image;

use crate::data::{DataError, ImageShape};

/// Why a child was not trained to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The loss is no number any more.
    #[error("the loss is {loss} in step {step} of epoch {epoch}; a smaller learning rate may help")]
    Nan {
        /// Counted from 1.
        epoch: usize,
        /// Within the epoch, counted from 1.
        step: usize,
        /// NaN or infinite.
        loss: f64,
    },
    /// The caller's flag was raised.
    #[error("training was cancelled")]
    Cancelled,
    /// The device could not provide the memory: a [`nasrl_tensor::Error::OutOfMemory`].
    #[error(transparent)]
    OutOfMemory(nasrl_tensor::Error),
    /// The network does not fit the images.
    #[error("the network is for images of {network}, those of the dataset are {dataset}")]
    Images {
        /// The network's input.
        network: Image,
        /// The dataset's images.
        dataset: ImageShape,
    },
    /// The network does not fit the classes.
    #[error("the network has {network} outputs, the dataset {dataset} classes")]
    Classes {
        /// The number of elements of the network's result.
        network: usize,
        /// The number of classes.
        dataset: usize,
    },
    /// A value of the recipe out of its range.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The weights to start from do not fit.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The checkpoint to go on from does not fit.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Test images that cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A schedule with nothing of something.
    #[error(
        "a schedule of {threads} threads, blocks of {block} and groups of {group} images; each must \
         be at least 1"
    )]
    Schedule {
        /// Its threads.
        threads: usize,
        /// Images of a block.
        block: usize,
        /// Images of a group.
        group: usize,
    },
    /// The operating system refused the threads.
    #[error("{threads} threads cannot be started: {source}; use fewer")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Its reason.
        source: io::Error,
    },
    /// An operation of the device failed otherwise.
    #[error(transparent)]
    Tensor(nasrl_tensor::Error),
}

/// A value of a recipe out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("recipe: {key} is {value}, but must be {rule}")]
pub struct RecipeError {
    /// The key, as in TOML.
    pub key: &'static str,
    /// What it is.
    pub value: String,
    /// What is accepted.
    pub rule: &'static str,
}

/// A checkpoint that a training cannot go on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// It is no checkpoint of a training of this network.
    #[error("no checkpoint of this network's training: {reason}; remove it to start anew")]
    Format {
        /// What is wrong with it.
        reason: String,
    },
    /// Seed, trial, recipe or images are others.
    #[error("the checkpoint of another training; remove it to start anew")]
    OtherTraining,
}

/// Weights that are not those of a graph.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file that is no safetensors file.
    #[error("{}: no safetensors file: {reason}; give one that holds weights", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A parameter of the network that is not there.
    #[error("{}: no tensor {name}; give weights of this network", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The parameter.
        name: String,
    },
    /// A tensor that no parameter of the network is called after.
    #[error(
        "{}: tensor {name} is none of the network's; give weights of this network",
        path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor of another shape or type than the parameter.
    #[error(
        "{}: tensor {name} is {found}, expected {expected}; give weights of this network",
        path.display()
    )]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type and shape.
        found: String,
        /// Those of the parameter.
        expected: String,
    },
    /// Weights in memory that were made for another graph.
    #[error("the weights are those of another network: they have {found}, expected {expected}")]
    OtherGraph {
        /// The first parameter that differs, or "nothing" where there are too few.
        found: String,
        /// What the network has in its place.
        expected: String,
    },
}

impl From<nasrl_tensor::Error> for TrainError {
    fn from(error: nasrl_tensor::Error) -> Self {
        match error {
            error @ nasrl_tensor::Error::OutOfMemory { .. } => TrainError::OutOfMemory(error),
            other => TrainError::Tensor(other),
        }
    }
}
