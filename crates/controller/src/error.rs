use nasrl_space::SpaceDigest;

/// The result of everything that can fail in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a controller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A hyperparameter that makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The device failed.
    #[error("the controller: {0}")]
    Tensor(#[from] nasrl_tensor::Error),
    /// Tokens that are not of the controller's space.
    #[error("tokens {found:?} are not of the controller's space `{space}`")]
    Tokens {
        /// The indices.
        found: Vec<u16>,
        /// The space's name.
        space: String,
    },
    /// A space whose token strings are not the controller's.
    #[error(
        "the space `{found}` is not the controller's `{expected}`, nor that at one of its depths"
    )]
    Space {
        /// The space's name.
        found: String,
        /// That of the controller's.
        expected: String,
    },
    /// A trial that was observed out of turn.
    #[error("trial {found} was observed where trial {expected} was due: rewards go in trial order")]
    Order {
        /// The trial.
        found: u64,
        /// The one that should have come.
        expected: u64,
    },
    /// A reward that is not a number; failed trials have a documented one.
    #[error("the reward of trial {trial} is {reward}: a finite number is expected")]
    Reward {
        /// The trial.
        trial: u64,
        /// Its reward.
        reward: f64,
    },
    /// The parameters are no longer numbers.
    #[error(
        "the controller's policy diverged by trial {trial}: lower `learning-rate` or `clip-norm`"
    )]
    Diverged {
        /// The trial that was to be sampled.
        trial: u64,
    },
    /// A checkpoint that cannot be used.
    #[error("the controller's checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
}

/// A hyperparameter or preset that makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value outside its range.
    #[error("controller.{key} is {value}, but must be {rule}")]
    Range {
        /// The key, in kebab case.
        key: &'static str,
        /// Its value.
        value: f64,
        /// Its range.
        rule: &'static str,
    },
    /// A preset that does not exist.
    #[error("there is no preset `{found}`; there are `default`, `paper` and `reference`")]
    Preset {
        /// The name.
        found: String,
    },
}

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Not a safetensors file.
    #[error("not a safetensors file, or a torn one: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// A safetensors file of something else, or of another version of nasrl.
    #[error("`{entry}` {problem}; it was written by something else or by another version")]
    Entry {
        /// A metadata key or a tensor's name.
        entry: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A checkpoint of another search space.
    #[error("it is of the space {found}, not of {expected}: use the space that it was made with")]
    Space {
        /// The checkpoint's space.
        found: String,
        /// The space that was asked for.
        expected: SpaceDigest,
    },
    /// A checkpoint of other hyperparameters.
    #[error("it was made with other hyperparameters: {found}")]
    Config {
        /// The keys that differ, with the checkpoint's values.
        found: String,
    },
}
