//! Children that were trained again.

use std::fmt;

/// A child that was trained again after the search, and tested.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrained {
    /// The trial whose architecture it has.
    pub trial: u64,
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

impl fmt::Display for Retrained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epochs = if self.epochs == 1 { "epoch" } else { "epochs" };
        write!(f, "Trial {} trained anew for {} {epochs}: ", self.trial, self.epochs)?;
        if let Some(accuracy) = self.validation_accuracy {
            write!(f, "validation accuracy {accuracy:.4}, ")?;
        }
        match self.test_accuracy {
            Some(accuracy) => write!(f, "test accuracy {accuracy:.4}"),
            None => write!(f, "no test images"),
        }
    }
}
