//! Where a training stands, so that it can be gone on with.
//!
//! As a file a checkpoint is safetensors: the weights as `weights.<name>` and what the optimizer
//! remembers as `optimizer0.<name>` and `optimizer1.<name>`, all f32. Everything else is a TOML
//! document, the only entry of the metadata.

use std::collections::HashMap;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use crate::progress::{Epoch, StepLoss};
use crate::{CheckpointError, Recipe, Weights};
use nasrl_space::Graph;

/// A training after some of its epochs: all that the rest of it depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub(crate) progress: Progress,
    pub(crate) weights: Weights,
    /// What the optimizer remembers of each parameter.
    pub(crate) memory: Vec<Weights>,
}

/// The part of a checkpoint that is no tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Progress {
    /// How many steps were taken.
    pub(crate) steps: u64,
    pub(crate) course: Course,
    pub(crate) epochs: Vec<Epoch>,
    pub(crate) losses: Vec<StepLoss>,
}

/// What a training is, apart from its network and its images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Course {
    /// In decimal: half of all seeds are above the largest integer of TOML.
    pub(crate) seed: String,
    pub(crate) trial: u64,
    /// How many training images there are.
    pub(crate) images: usize,
    pub(crate) recipe: Recipe,
}

/// The key of the document; another version will have another.
const FORMAT: &str = "nasrl-training-1";
const WEIGHTS: &str = "weights";
const OPTIMIZER: &str = "optimizer";

impl Checkpoint {
    /// What each epoch came to.
    pub fn epochs(&self) -> &[Epoch] {
        &self.progress.epochs
    }

    /// The bytes of a safetensors file.
    pub fn to_safetensors(&self) -> Vec<u8> {
        let mut tensors = Vec::new();
        for (group, weights) in self.groups() {
            for (spec, values) in weights.specs().iter().zip(weights.values()) {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                tensors.push((format!("{group}.{}", spec.name), spec.shape.clone(), bytes));
            }
        }
        let views = tensors.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            (name, view.expect("as many values as the shape says"))
        });
        let text = toml::to_string(&self.progress).expect("numbers and strings under plain keys");
        let metadata = HashMap::from([(FORMAT.to_owned(), text)]);
        safetensors::serialize(views, Some(metadata)).expect("names and sizes are plain")
    }

    /// The checkpoint of a network's training out of the bytes of a safetensors file.
    ///
    /// # Errors
    /// [`CheckpointError`], unless the file is a checkpoint with the parameters of the graph.
    pub fn from_safetensors(bytes: &[u8], graph: &Graph) -> Result<Self, CheckpointError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(format)?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(format)?;
        let text = header.metadata().as_ref().and_then(|metadata| metadata.get(FORMAT));
        let text = text.ok_or_else(|| format(format_args!("no {FORMAT} in the metadata")))?;
        let progress: Progress = toml::from_str(text).map_err(format)?;
        let group = |name: &str| {
            let specs = graph.parameter_specs();
            let values = specs.iter().map(|spec| {
                let name = format!("{name}.{}", spec.name);
                let tensor = tensors.tensor(&name).map_err(format)?;
                if tensor.dtype() != Dtype::F32 || tensor.shape() != spec.shape {
                    return Err(format(format_args!("{name} is not f32 of {:?}", spec.shape)));
                }
                let (words, _) = tensor.data().as_chunks();
                Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
            });
            Ok(Weights::from_values(specs.clone(), values.collect::<Result<_, _>>()?))
        };
        let moments = progress.course.recipe.optimizer.rule().state_buffers();
        let memory = (0..moments).map(|index| group(&format!("{OPTIMIZER}{index}")));
        Ok(Checkpoint {
            weights: group(WEIGHTS)?,
            memory: memory.collect::<Result<_, _>>()?,
            progress,
        })
    }

    /// Whether it is one of this training.
    pub(crate) fn check(&self, course: &Course) -> Result<(), CheckpointError> {
        match self.progress.course == *course {
            true => Ok(()),
            false => Err(CheckpointError::OtherTraining),
        }
    }

    fn groups(&self) -> impl Iterator<Item = (String, &Weights)> {
        let memory = self.memory.iter().enumerate();
        let memory = memory.map(|(index, moments)| (format!("{OPTIMIZER}{index}"), moments));
        std::iter::once((WEIGHTS.to_owned(), &self.weights)).chain(memory)
    }
}

fn format(reason: impl std::fmt::Display) -> CheckpointError {
    CheckpointError::Format { reason: reason.to_string() }
}
