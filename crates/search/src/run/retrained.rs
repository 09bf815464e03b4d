//! Children that were trained again.

use std::fmt;
use std::path::{Path, PathBuf};

use super::RETRAINED;
use crate::recipes::RecipeName;
use crate::setting::Setting;

/// A child that was trained again after the search, and tested.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrained {
    /// The trial whose architecture it has.
    pub trial: u64,
    /// How it differs from that trial's child, the number of epochs aside.
    pub variant: Variant,
    /// How many epochs it was trained.
    pub epochs: u64,
    /// The accuracy on the validation images after the last of them.
    pub validation_accuracy: Option<f64>,
    /// The accuracy on the test images after the last of them; `None` without test images.
    pub test_accuracy: Option<f64>,
    /// When it was done, in UTC.
    pub finished_at: String,
    /// How long it took.
    pub training_seconds: f64,
}

/// How a child that is trained again differs from that of the search, in words such as
/// `recipe final, 40 more filters`; nothing where it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variant(String);

/// Which images children are trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainedOn {
    /// The training images.
    Training,
    /// The validation images as well.
    TrainingAndValidation,
}

impl Variant {
    /// A child of this recipe, or this setting of it, with so many filters more in each
    /// convolution.
    pub fn new(
        recipe: RecipeName,
        setting: Option<&Setting>,
        added_filters: usize,
        on: TrainedOn,
    ) -> Variant {
        let mut words = Vec::new();
        if recipe != RecipeName::Run {
            words.push(format!("recipe {recipe}"));
        }
        if let Some(setting) = setting {
            words.push("tuned".to_owned());
            words.extend(setting.values().map(|(key, value)| format!("{key} {value}")));
        }
        if added_filters > 0 {
            words.push(format!("{added_filters} more filters"));
        }
        if on == TrainedOn::TrainingAndValidation {
            words.push("validation images too".to_owned());
        }
        Variant(words.join(", "))
    }

    /// The file that says where the training of a trial's child for so many epochs stands, in the
    /// directory of the run.
    pub(super) fn checkpoint(&self, run: &Path, trial: u64, epochs: u64) -> PathBuf {
        let name = format!("{}-of-{epochs}-epochs.checkpoint", self.stem(trial));
        run.join(RETRAINED).join(name)
    }

    /// What the names of its files begin with.
    fn stem(&self, trial: u64) -> String {
        let digest = blake3::hash(self.0.as_bytes()).to_hex();
        let suffix = if self.is_none() { String::new() } else { format!("-{}", &digest[..8]) };
        format!("trial-{trial:05}{suffix}")
    }

    /// Whether it is as in the search.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

impl Retrained {
    /// The name of the file of its weights in the run's folder: a variant has its own.
    pub(super) fn file_name(&self) -> String {
        format!("{}.safetensors", self.variant.stem(self.trial))
    }
}

impl From<String> for Variant {
    fn from(words: String) -> Variant {
        Variant(words)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Retrained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epochs = if self.epochs == 1 { "epoch" } else { "epochs" };
        write!(f, "Trial {} trained anew for {} {epochs}", self.trial, self.epochs)?;
        if !self.variant.is_none() {
            write!(f, " ({})", self.variant)?;
        }
        write!(f, ": ")?;
        if let Some(accuracy) = self.validation_accuracy {
            write!(f, "validation accuracy {accuracy:.4}, ")?;
        }
        match self.test_accuracy {
            Some(accuracy) => write!(f, "test accuracy {accuracy:.4}"),
            None => write!(f, "no test images"),
        }
    }
}
