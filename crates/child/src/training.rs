//! How a training runs.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use crate::checkpoint::{Checkpoint, Course};
use crate::data::Dataset;
use crate::progress::Epoch;
use crate::recipe::Recipe;
use crate::schedule::Schedule;
use crate::weights::Weights;

/// How a training runs, apart from what the recipe says. The result depends on `seed`, `trial`,
/// `weights`, `steps` and the blocks and groups of `schedule` alone.
pub struct Training<'a> {
    /// The run's seed.
    pub seed: u64,
    /// The number of the trial within its run. With the seed it is the key of everything random:
    /// initial weights, order of images, dropout, augmentation.
    pub trial: u64,
    /// Threads to train with.
    pub threads: usize,
    /// How a batch is cut, threads included, if not as [`Schedule::cpu`] does.
    pub schedule: Option<Schedule>,
    /// Ends the training with [`TrainError::Cancelled`](crate::TrainError::Cancelled) once it is true: at its next step, on a
    /// device that steps are asked of ahead within some hundred.
    pub cancel: Option<&'a AtomicBool>,
    /// Is told of every epoch as it ends.
    pub on_epoch: Option<&'a mut dyn FnMut(&Epoch)>,
    /// What to go on from instead of starting; the rest is then, bit for bit, as it would have been.
    pub resume: Option<&'a Checkpoint>,
    /// Is given where the training stands after every epoch but the last, and may end it there
    /// with [`TrainError::Cancelled`](crate::TrainError::Cancelled).
    pub on_checkpoint: Option<&'a mut OnCheckpoint<'a>>,
    /// What to start from instead of random weights.
    pub weights: Option<&'a Weights>,
    /// Ends the training after so many steps.
    pub steps: Option<u64>,
    /// Every how many steps [`Trained::losses`](crate::Trained::losses) notes the loss; 0 for never.
    pub log_every: u64,
    /// Whether test images are looked at.
    pub test: Test,
}

/// Takes where a training stands, and says whether to go on.
pub type OnCheckpoint<'a> = dyn FnMut(&Checkpoint) -> ControlFlow<()> + 'a;

/// Whether test images are looked at after the training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Test {
    /// They are not: a search must not know them.
    #[default]
    Skip,
    /// The accuracy on them is measured, if there are any.
    Measure,
}

impl Default for Training<'_> {
    /// Seed and trial 0, one thread, random weights, the whole recipe, and nothing beside it.
    fn default() -> Self {
        Training {
            seed: 0,
            trial: 0,
            threads: 1,
            schedule: None,
            cancel: None,
            on_epoch: None,
            resume: None,
            on_checkpoint: None,
            weights: None,
            steps: None,
            log_every: 0,
            test: Test::Skip,
        }
    }
}

impl Training<'_> {
    /// What it is, apart from its network and its images.
    pub(crate) fn course(&self, recipe: &Recipe, images: usize) -> Course {
        Course { seed: self.seed.to_string(), trial: self.trial, images, recipe: recipe.clone() }
    }
}

impl Checkpoint {
    /// Whether a training can go on from it: recipe, images, seed and trial are its own.
    pub fn fits(&self, recipe: &Recipe, dataset: &Dataset, training: &Training<'_>) -> bool {
        self.check(&training.course(recipe, dataset.train.len())).is_ok()
    }
}
