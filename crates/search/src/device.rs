//! Where children are trained and the controller computes.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};

use nasrl_child::data::Dataset;
use nasrl_child::{Recipe, Requirements, Schedule, TrainError, Trained, Training};
use nasrl_controller::Config;
use nasrl_space::{Graph, Space};
use nasrl_tensor::cuda::device_count;
use nasrl_tensor::{Cpu, Cuda, Error, Memory};
use serde::{Deserialize, Serialize};

use crate::strategy::{ReinforceStrategy, Strategy, StrategyError};

/// What computes, as `cpu`, `cuda`, `cuda:1` or `cuda:all`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A GPU, counted from 0.
    Gpu(usize),
    /// All GPUs; each child is trained on one of them.
    AllGpus,
}

/// A device that can be used.
#[derive(Debug)]
pub enum Devices {
    /// The processor.
    Cpu,
    /// GPUs that take children in turn.
    Gpus {
        /// At least one.
        gpus: Vec<Cuda>,
        /// How many children were given to one.
        given: AtomicUsize,
    },
}

/// Text that names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no device; there are cpu, cuda (the first GPU), cuda:N and cuda:all")]
pub struct UnknownDevice(String);

impl Device {
    /// Gets it ready.
    ///
    /// # Errors
    /// [`Error`] if there is no such GPU, or it cannot be used.
    pub fn open(self) -> Result<Devices, Error> {
        let ordinals = match self {
            Device::Cpu => return Ok(Devices::Cpu),
            Device::Gpu(ordinal) => ordinal..ordinal + 1,
            // Without any, the first is the one that is missing.
            Device::AllGpus => 0..device_count()?.max(1),
        };
        let gpus = ordinals.map(Cuda::new).collect::<Result<_, _>>()?;
        Ok(Devices::Gpus { gpus, given: AtomicUsize::new(0) })
    }

    /// What results depend on: which GPU it is that computes does not matter.
    pub(crate) fn kind(self) -> Device {
        match self {
            Device::Cpu => Device::Cpu,
            Device::Gpu(_) | Device::AllGpus => Device::Gpu(0),
        }
    }
}

impl Devices {
    /// Trains a child, and gives the name of what it was trained on beside it. `training.threads` is
    /// about the processor alone.
    ///
    /// # Errors
    /// Every [`TrainError`].
    pub fn train(
        &self,
        graph: &Graph,
        recipe: &Recipe,
        dataset: &Dataset,
        training: Training<'_>,
    ) -> Result<(Trained, String), TrainError> {
        let (trained, name) = match self {
            Devices::Cpu => {
                let trained = nasrl_child::train(graph, recipe, dataset, training);
                (trained, Cpu::serial().name())
            }
            Devices::Gpus { gpus, given } => {
                let turn = given.fetch_add(1, Ordering::Relaxed) % gpus.len();
                // Children side by side have a stream each.
                let gpu = gpus[turn].new_stream()?;
                let schedule = Some(Schedule::gpu(recipe.batch));
                let training = Training { schedule, ..training };
                (nasrl_child::train_on(&gpu, graph, recipe, dataset, training), gpu.name())
            }
        };
        Ok((trained?, name))
    }

    /// What training a child takes of the memory of the device.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] for a value out of its range.
    pub fn requirements(
        &self,
        graph: &Graph,
        recipe: &Recipe,
        threads: usize,
    ) -> Result<Requirements, TrainError> {
        match self {
            Devices::Cpu => nasrl_child::requirements(graph, recipe, threads),
            Devices::Gpus { gpus, .. } => {
                let schedule = Schedule::gpu(recipe.batch);
                nasrl_child::requirements_on(&gpus[0], graph, recipe, schedule)
            }
        }
    }

    /// A controller that has seen nothing yet.
    ///
    /// # Errors
    /// [`StrategyError`] for hyperparameters outside their range.
    pub fn controller(
        &self,
        space: &Space,
        config: &Config,
        seed: u64,
    ) -> Result<Box<dyn Strategy>, StrategyError> {
        Ok(match self {
            // It runs on one core: its networks are small.
            Devices::Cpu => Box::new(ReinforceStrategy::new(&Cpu::serial(), space, config, seed)?),
            Devices::Gpus { gpus, .. } => {
                Box::new(ReinforceStrategy::new(&gpus[0], space, config, seed)?)
            }
        })
    }

    /// The name of a GPU that cannot be used any more in this process, if there is one: some errors
    /// of a kernel end all work of the GPU.
    pub fn first_lost(&self) -> Option<String> {
        match self {
            Devices::Cpu => None,
            Devices::Gpus { gpus, .. } => {
                gpus.iter().find(|gpu| gpu.synchronize().is_err()).map(Cuda::name)
            }
        }
    }
}

impl FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Device, UnknownDevice> {
        match text.split_once(':') {
            None if text == "cpu" => Ok(Device::Cpu),
            None if text == "cuda" => Ok(Device::Gpu(0)),
            Some(("cuda", "all")) => Ok(Device::AllGpus),
            Some(("cuda", ordinal)) => ordinal.parse().map(Device::Gpu).map_err(drop),
            _ => Err(()),
        }
        .map_err(|()| UnknownDevice(text.to_owned()))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Gpu(0) => f.write_str("cuda"),
            Device::Gpu(ordinal) => write!(f, "cuda:{ordinal}"),
            Device::AllGpus => f.write_str("cuda:all"),
        }
    }
}

impl From<Device> for String {
    fn from(device: Device) -> String {
        device.to_string()
    }
}

impl TryFrom<String> for Device {
    type Error = UnknownDevice;

    fn try_from(text: String) -> Result<Device, UnknownDevice> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for device in [Device::Cpu, Device::Gpu(0), Device::Gpu(3), Device::AllGpus] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("cuda:0".parse(), Ok(Device::Gpu(0)));
        for text in ["", "gpu", "cuda:", "cuda:-1", "cuda:one", "cpu:0"] {
            assert_eq!(text.parse::<Device>(), Err(UnknownDevice(text.to_owned())));
        }
    }
}
