//! Training a child of a search anew, to know what it is worth.

use std::time::{Instant, SystemTime};

use nasrl_child::data::Dataset;
use nasrl_child::{Epoch, Recipe, Test, TrainError, Trained, Training, train};
use nasrl_space::Graph;
use nasrl_tensor::random::Key;

use crate::Stop;
use crate::clock::utc;
use crate::run::{Retrained, Variant};

/// What to train anew.
#[derive(Clone, Copy, Debug)]
pub struct Retraining<'a> {
    /// The architecture.
    pub graph: &'a Graph,
    /// The images; the test images among them are looked at.
    pub dataset: &'a Dataset,
    /// How to train it.
    pub recipe: &'a Recipe,
    /// The seed of the run.
    pub seed: u64,
    /// The trial that has the architecture.
    pub trial: u64,
    /// What is different from training the child of the search as the run trains.
    pub variant: &'a Variant,
    /// How many threads train.
    pub threads: usize,
}

impl Retraining<'_> {
    /// Trains from other random weights and with the images in another order than in the search,
    /// whose choice of the child was also a choice of lucky ones, and measures the accuracy on the
    /// test images. The result, and the weights as a safetensors file.
    ///
    /// # Errors
    /// [`TrainError`]; [`TrainError::Cancelled`] once `stop` was requested.
    pub fn run(
        &self,
        stop: &Stop,
        on_epoch: &mut dyn FnMut(&Epoch),
    ) -> Result<(Retrained, Vec<u8>), TrainError> {
        let Retraining { graph, dataset, recipe, seed, trial, variant, threads } = *self;
        let training = Training {
            seed: derived_seed(seed, trial, "retrain"),
            trial,
            threads,
            cancel: Some(stop.flag()),
            on_epoch: Some(on_epoch),
            test: Test::Measure,
            ..Training::default()
        };
        let started = Instant::now();
        let Trained { epochs, weights, test_accuracy, .. } =
            train(graph, recipe, dataset, training)?;
        let retrained = Retrained {
            trial,
            epochs: epochs.len() as u64,
            validation_accuracy: epochs.last().and_then(|epoch| epoch.validation_accuracy),
            test_accuracy,
            finished_at: utc(SystemTime::now()),
            variant: variant.clone(),
            training_seconds: started.elapsed().as_secs_f64(),
        };
        Ok((retrained, weights.to_safetensors()))
    }
}

/// A seed for another training of a trial than that in the search.
pub(crate) fn derived_seed(seed: u64, trial: u64, purpose: &str) -> u64 {
    let Key([low, high]) = Key::new(seed, trial, purpose);
    u64::from(high) << 32 | u64::from(low)
}
