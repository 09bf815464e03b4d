//! What a training came to so far.

use serde::{Deserialize, Serialize};

/// What an epoch came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Epoch {
    /// Counted from 1.
    pub number: usize,
    /// The mean loss over the images, in nats, each as the network was when it came.
    pub loss: f64,
    /// The accuracy on the images, each as the network was when it came.
    pub training_accuracy: f64,
    /// The accuracy on the validation images after the epoch; `None` without any.
    pub validation_accuracy: Option<f64>,
    /// Training images a second, validation not counted.
    pub images_per_second: f64,
}

/// The loss of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepLoss {
    /// Counted from 1, through all epochs.
    pub step: u64,
    /// The mean over the batch, in nats.
    pub loss: f32,
}
