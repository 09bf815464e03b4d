//! A controller as a safetensors file.
//!
//! Tensors: every parameter as `policy.<name>`, the optimizer's state as `optimizer0.<name>` and
//! `optimizer1.<name>`, all f32, and `rewards`, the rewards in trial order, f64. Everything else is
//! a TOML document, the only entry of the metadata: safetensors writes several in random order, and
//! equal controllers are to be equal files.

use std::collections::HashMap;

use nasrl_space::{Space, SpaceError, Tokens};
use nasrl_tensor::Backend;
use nasrl_tensor::random::Key;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use crate::parameters::Spec;
use crate::queue::Entry;
use crate::{CheckpointError, Config, Policy, Reinforce, Result};

/// The metadata.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    /// The digest of the space.
    space: String,
    /// In decimal: half of all seeds are above the largest integer of TOML.
    seed: String,
    config: Config,
    state: State,
}

/// The part of a learner's state that is no tensor.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct State {
    updates: u64,
    restarts: u64,
    optimizer_steps: u64,
    baseline: [f64; 2],
    entropy: Option<f64>,
    queue: Vec<Valued>,
    pending: Vec<Valued>,
}

/// Tokens in their written form with their reward or advantage.
#[derive(Serialize, Deserialize)]
struct Valued {
    tokens: String,
    value: f64,
}

/// A checkpoint of a space, taken apart.
struct File<'a> {
    tensors: SafeTensors<'a>,
    document: Document,
}

/// The key of the document; another version will have another.
const FORMAT: &str = "nasrl-controller-1";
const POLICY: &str = "policy";
const OPTIMIZER: [&str; 2] = ["optimizer0", "optimizer1"];
const REWARDS: &str = "rewards";

impl<B: Backend> Policy<B> {
    /// The policy of a checkpoint, for reading its distributions or as a start for another search
    /// of the space: `config` may differ in everything but the network.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) if the bytes are not those of a checkpoint,
    /// or of one of another space or with another network, and
    /// [`Error::Config`](crate::Error::Config) for a hyperparameter outside its range.
    pub fn restore(backend: &B, space: &Space, config: &Config, bytes: &[u8]) -> Result<Self> {
        config.validate()?;
        let file = File::read(bytes, space)?;
        let network = ["layers", "units", "embedding", "embedding-sharing"];
        file.compare(config, |key| network.contains(&key))?;
        Self::from_file(backend, space, config, &file)
    }

    fn from_file(backend: &B, space: &Space, config: &Config, file: &File<'_>) -> Result<Self> {
        let mut policy = Policy::new(backend, space, config, Key::new(0, 0, "overwritten"))?;
        let parameters = policy.parameters_mut();
        for (spec, value) in parameters.specs.iter().zip(&mut parameters.values) {
            backend.write(&file.parameter(POLICY, spec)?, value)?;
        }
        Ok(policy)
    }
}

impl<B: Backend> Reinforce<B> {
    /// The whole state as the bytes of a safetensors file.
    ///
    /// # Errors
    /// [`Error::Tensor`](crate::Error::Tensor) if the device fails.
    pub fn checkpoint(&self) -> Result<Vec<u8>> {
        let rewards = self.learner.rewards.history();
        let bytes = rewards.iter().flat_map(|reward| reward.to_le_bytes()).collect::<Vec<u8>>();
        let mut tensors = vec![(REWARDS.to_owned(), Dtype::F64, vec![rewards.len()], bytes)];
        let parameters = &self.policy.parameters;
        for (index, spec) in parameters.specs.iter().enumerate() {
            let [first, second] = &self.descent.state[index];
            let buffers = [&parameters.values[index], first, second];
            for (group, buffer) in [POLICY, OPTIMIZER[0], OPTIMIZER[1]].into_iter().zip(buffers) {
                let mut numbers = vec![0.0f32; spec.count()];
                self.policy.backend().read(buffer, &mut numbers)?;
                let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                tensors.push((spec.entry(group), Dtype::F32, spec.shape.clone(), bytes));
            }
        }
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?))
        });
        let views = views.collect::<Result<Vec<_>, CheckpointError>>()?;
        let document = Document {
            space: self.policy.space().digest().to_string(),
            seed: self.learner.seed.to_string(),
            config: self.config.clone(),
            state: self.state(),
        };
        let text = toml::to_string(&document).expect("numbers and strings under plain keys");
        let metadata = HashMap::from([(FORMAT.to_owned(), text)]);
        Ok(safetensors::serialize(views, Some(metadata)).map_err(CheckpointError::from)?)
    }

    /// The controller of a checkpoint, which goes on as the saved one would have.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) if the bytes are not those of a checkpoint,
    /// or of one of another space or with other hyperparameters, and
    /// [`Error::Config`](crate::Error::Config) for one outside its range.
    pub fn restore(backend: &B, space: &Space, config: &Config, bytes: &[u8]) -> Result<Self> {
        config.validate()?;
        let file = File::read(bytes, space)?;
        file.compare(config, |_| true)?;
        let policy = Policy::from_file(backend, space, config, &file)?;
        let seed = file.document.seed.parse().map_err(|_| entry("seed", "is not a number"))?;
        let mut restored = Reinforce::with_policy(policy, seed)?;
        restored.descent.steps = file.document.state.optimizer_steps;
        let specs = &restored.policy.parameters.specs;
        for (spec, buffers) in specs.iter().zip(&mut restored.descent.state) {
            for (group, buffer) in OPTIMIZER.into_iter().zip(buffers) {
                backend.write(&file.parameter(group, spec)?, buffer)?;
            }
        }
        let (rewards, state) = (file.rewards()?, file.document.state);
        let learner = &mut restored.learner;
        for reward in rewards {
            learner.rewards.observe(reward);
        }
        learner.baseline.sums = state.baseline;
        for Valued { tokens, value } in state.queue {
            learner.queue.observe(&parse(space, &tokens)?, value);
        }
        for Valued { tokens, value } in state.pending {
            learner.pending.push((parse(space, &tokens)?, value));
        }
        learner.updates = state.updates;
        learner.restarts = state.restarts;
        learner.entropy = state.entropy;
        Ok(restored)
    }

    fn state(&self) -> State {
        let learner = &self.learner;
        let valued =
            |tokens: &Tokens, value| Valued { tokens: self.policy.space().format(tokens), value };
        let queued = |Entry { tokens, reward }: &Entry| valued(tokens, *reward);
        let pending = |(tokens, advantage): &(Tokens, f64)| valued(tokens, *advantage);
        State {
            updates: learner.updates,
            restarts: learner.restarts,
            optimizer_steps: self.descent.steps,
            baseline: learner.baseline.sums,
            entropy: learner.entropy,
            queue: learner.queue.entries.iter().map(queued).collect(),
            pending: learner.pending.iter().map(pending).collect(),
        }
    }
}

impl<'a> File<'a> {
    fn read(bytes: &'a [u8], space: &Space) -> Result<Self, CheckpointError> {
        let tensors = SafeTensors::deserialize(bytes)?;
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let text = header.metadata().as_ref().and_then(|metadata| metadata.get(FORMAT));
        let text = text.ok_or_else(|| entry(FORMAT, "is missing"))?;
        let document: Document =
            toml::from_str(text).map_err(|_| entry(FORMAT, "cannot be read"))?;
        if document.space != space.digest().to_string() {
            let (found, expected) = (document.space, space.digest());
            return Err(CheckpointError::Space { found, expected });
        }
        Ok(File { tensors, document })
    }

    /// Whether the hyperparameters of these keys are the checkpoint's.
    fn compare(
        &self,
        config: &Config,
        relevant: impl Fn(&str) -> bool,
    ) -> Result<(), CheckpointError> {
        let table = |config: &Config| toml::Table::try_from(config).unwrap_or_default();
        let expected = table(config);
        let differs = |(key, value): &(String, toml::Value)| {
            relevant(key) && expected.get(key) != Some(value)
        };
        let differing: Vec<String> = table(&self.document.config)
            .into_iter()
            .filter(differs)
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        match differing.is_empty() {
            true => Ok(()),
            false => Err(CheckpointError::Config { found: differing.join(", ") }),
        }
    }

    fn parameter(&self, group: &str, spec: &Spec) -> Result<Vec<f32>, CheckpointError> {
        let name = spec.entry(group);
        let tensor = self.tensor(&name, Dtype::F32)?;
        if tensor.shape() != spec.shape {
            return Err(entry(&name, "has another shape"));
        }
        let (numbers, _) = tensor.data().as_chunks();
        Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn rewards(&self) -> Result<Vec<f64>, CheckpointError> {
        let (numbers, _) = self.tensor(REWARDS, Dtype::F64)?.data().as_chunks();
        Ok(numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }

    fn tensor(&self, name: &str, dtype: Dtype) -> Result<TensorView<'a>, CheckpointError> {
        let tensor = self.tensors.tensor(name).map_err(|_| entry(name, "is missing"))?;
        match tensor.dtype() == dtype {
            true => Ok(tensor),
            false => Err(entry(name, "has another dtype")),
        }
    }
}

impl Spec {
    /// The name of a parameter's tensor in a group.
    fn entry(&self, group: &str) -> String {
        format!("{group}.{}", self.name)
    }
}

fn parse(space: &Space, tokens: &str) -> Result<Tokens, CheckpointError> {
    let unknown = |_: SpaceError| entry(FORMAT, "has tokens of another space");
    space.parse(tokens).map_err(unknown)
}

fn entry(entry: &str, problem: &'static str) -> CheckpointError {
    CheckpointError::Entry { entry: entry.to_owned(), problem }
}
