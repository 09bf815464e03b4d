//! Rewards from children that are trained in this process.

use nasrl_child::data::Dataset;
use nasrl_child::{Epoch, Recipe, TrainError, Training};
use nasrl_space::Graph;

use super::{Evaluator, Job, Measurement, Outcome, memory};
use crate::config::Config;
use crate::device::Devices;
use crate::{Failure, Reward, Stop};

/// Trains every architecture from scratch and measures it on the validation images.
#[derive(Debug)]
pub struct ChildEvaluator<'a> {
    dataset: &'a Dataset,
    devices: &'a Devices,
    recipe: Recipe,
    reward: Reward,
    seed: u64,
    threads: usize,
    /// The bytes of memory there are, where that is known.
    memory: Option<u64>,
}

impl<'a> ChildEvaluator<'a> {
    /// Trains on the images of `dataset` by `recipe`; reward, seed and threads are those of
    /// `config`.
    pub fn new(
        (dataset, devices): (&'a Dataset, &'a Devices),
        recipe: Recipe,
        config: &Config,
    ) -> Self {
        let Config { reward, seed, threads, .. } = *config;
        let memory = match devices {
            Devices::Cpu => memory::installed(),
            // A GPU's driver hands out no more memory than there is.
            Devices::Gpus { .. } => None,
        };
        ChildEvaluator { dataset, devices, recipe, reward, seed, threads, memory }
    }

    /// Why a network can never be trained here, if it needs more than the memory: systems that hand
    /// out more memory than they have kill who then uses it.
    fn refuse(&self, graph: &Graph) -> Option<String> {
        let memory = self.memory?;
        // Weights and gradients come first: what they alone do not fit into can be beyond counting.
        let least = graph.parameters().saturating_mul(2 * size_of::<f32>() as u64);
        let needed = match least > memory {
            true => least,
            false => {
                self.devices.requirements(graph, &self.recipe, self.threads).ok()?.bytes as u64
            }
        };
        (needed > memory).then(|| {
            format!(
                "training takes {needed} bytes, the memory has {memory}; leave such networks out of \
                 the space, or set --max-memory"
            )
        })
    }
}

impl Evaluator for ChildEvaluator<'_> {
    fn evaluate(&self, job: &Job<'_>, stop: &Stop, report: &dyn Fn(&Epoch)) -> Outcome {
        let Some(graph) = job.graph else {
            return Outcome::Failed(Failure::Invalid, "the space describes no network".to_owned());
        };
        if let Some(reason) = self.refuse(graph) {
            return Outcome::Failed(Failure::TooLarge, reason);
        }
        let training = Training {
            seed: self.seed,
            trial: job.trial,
            threads: self.threads,
            cancel: Some(stop.flag()),
            on_epoch: Some(&mut |epoch| report(epoch)),
            ..Training::default()
        };
        train_and_measure(self.devices, (graph, &self.recipe, self.dataset), training, self.reward)
    }
}

/// Trains a network; the validation images decide its reward.
pub(crate) fn train_and_measure(
    devices: &Devices,
    (graph, recipe, dataset): (&Graph, &Recipe, &Dataset),
    training: Training<'_>,
    reward: Reward,
) -> Outcome {
    let (trained, device) = match devices.train(graph, recipe, dataset, training) {
        Ok(trained) => trained,
        Err(TrainError::Cancelled) => return Outcome::Stopped,
        Err(refused) => {
            return match broken(devices, &refused) {
                Some(reason) => Outcome::Broken(reason),
                None => Outcome::Failed(failure(&refused), refused.to_string()),
            };
        }
    };
    let accuracies: Vec<f64> =
        trained.epochs.iter().filter_map(|epoch| epoch.validation_accuracy).collect();
    Outcome::Done(Measurement {
        reward: reward.of(&accuracies).unwrap_or(f64::NAN),
        validation_accuracy: accuracies.last().copied(),
        weights: Some(trained.weights.to_safetensors()),
        device: Some(device),
    })
}

/// Why no other child could be trained either, if that is so.
fn broken(devices: &Devices, error: &TrainError) -> Option<String> {
    use nasrl_tensor::Error;
    if let TrainError::Tensor(
        error @ (Error::NoNvrtc { .. } | Error::Compile { .. } | Error::Kernel { .. }),
    ) = error
    {
        return Some(error.to_string());
    }
    let lost = devices.first_lost()?;
    Some(format!(
        "{lost} was lost: {error}; if it happens again, CUDA_LAUNCH_BLOCKING=1 makes the error name \
         the kernel, and --device cpu does without it"
    ))
}

/// What the failure of a child is called.
fn failure(error: &TrainError) -> Failure {
    match error {
        TrainError::Nan { .. } => Failure::Nan,
        TrainError::OutOfMemory { .. } | TrainError::Threads { .. } => Failure::OutOfMemory,
        _ => Failure::Invalid,
    }
}
