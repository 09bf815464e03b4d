//! Training a child of a search anew, to know what it is worth.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use nasrl_child::data::Dataset;
use nasrl_child::{Checkpoint, Epoch, Recipe, Test, TrainError, Trained, Training};
use nasrl_space::Graph;
use nasrl_tensor::random::Key;

use crate::clock::utc;
use crate::device::Devices;
use crate::run::{Retrained, Variant};
use crate::{Stop, atomic_file};

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
    /// What trains.
    pub devices: &'a Devices,
    /// How many threads train on the processor.
    pub threads: usize,
    /// The file that says after every epoch where the training stands.
    pub checkpoint: &'a Path,
}

/// Why a child was not trained anew to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetrainError {
    /// The training failed, or was stopped.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Where the training stands could not be written; the file is as it was an epoch before.
    #[error("cannot write {}: {source}; once it can be, the same command goes on", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl Retraining<'_> {
    /// Where an earlier training of the same kind was stopped or killed, if it was.
    pub fn interrupted(&self) -> Option<Checkpoint> {
        let bytes = std::fs::read(self.checkpoint).ok()?;
        let checkpoint = Checkpoint::from_safetensors(&bytes, self.graph).ok()?;
        checkpoint.fits(self.recipe, self.dataset, &self.training()).then_some(checkpoint)
    }

    /// Trains from other random weights and with the images in another order than in the search,
    /// whose choice of the child was also a choice of lucky ones, and measures the accuracy on the
    /// test images. With `from` it goes on from there. The result, and the weights as a safetensors
    /// file.
    ///
    /// # Errors
    /// [`RetrainError`]; with [`TrainError::Cancelled`] once `stop` was requested.
    pub fn run(
        &self,
        from: Option<&Checkpoint>,
        stop: &Stop,
        on_epoch: &mut dyn FnMut(&Epoch),
    ) -> Result<(Retrained, Vec<u8>), RetrainError> {
        let Retraining { graph, dataset, recipe, trial, variant, .. } = *self;
        let mut unwritten = None;
        let mut keep = |checkpoint: &Checkpoint| match atomic_file::write(
            self.checkpoint,
            &checkpoint.to_safetensors(),
        ) {
            Ok(()) => ControlFlow::Continue(()),
            Err(source) => {
                unwritten = Some(source);
                ControlFlow::Break(())
            }
        };
        let training = Training {
            cancel: Some(stop.flag()),
            on_epoch: Some(on_epoch),
            resume: from,
            on_checkpoint: Some(&mut keep),
            test: Test::Measure,
            ..self.training()
        };
        let started = Instant::now();
        let trained = self.devices.train(graph, recipe, dataset, training);
        if let Some(source) = unwritten {
            return Err(RetrainError::Checkpoint { path: self.checkpoint.into(), source });
        }
        let (Trained { epochs, weights, test_accuracy, .. }, _) = trained?;
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

    fn training<'a>(&self) -> Training<'a> {
        let Retraining { seed, trial, threads, .. } = *self;
        let seed = derived_seed(seed, trial, "retrain");
        Training { seed, trial, threads, ..Training::default() }
    }
}

/// A seed for another training of a trial than that in the search.
pub(crate) fn derived_seed(seed: u64, trial: u64, purpose: &str) -> u64 {
    let Key([low, high]) = Key::new(seed, trial, purpose);
    u64::from(high) << 32 | u64::from(low)
}
