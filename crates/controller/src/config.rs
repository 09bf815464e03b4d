//! The hyperparameters, and the presets of the paper, of the reference repository and of ours.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// Every hyperparameter of the controller.
///
/// "Paper" is arXiv 1611.01578, sections 3.2 and 4.1; where it is silent the choice is ours and
/// said to be. "Reference" is the repository titu1994/neural-architecture-search as it behaves;
/// [`Preset::Reference`] lists where we differ from it. "Default" was chosen on tables of trained
/// networks.
///
/// Written in TOML with keys in kebab case; keys that are left out are the default's. Amounts that
/// switch something off are `inf` for a bound and 0 for a weight or a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// LSTM layers. Paper 2, reference 1, default 1.
    pub layers: usize,
    /// Hidden units of each LSTM layer. Paper 35, reference 32, default 32.
    pub units: usize,
    /// Width of the embedding of a token. Paper silent, 35 for us; reference 20; default 32.
    pub embedding: usize,
    /// Which decisions share an embedding table. Paper silent, [`Sharing::Kind`] for us; reference
    /// [`Sharing::Kind`]; default [`Sharing::None`].
    pub embedding_sharing: Sharing,
    /// Weights and biases start uniform in plus or minus this range. Paper 0.08; reference 0.18,
    /// the range of Glorot's rule for its LSTM's matrix; default 0.3.
    pub initial_range: f64,
    /// Embeddings start uniform in plus or minus this range. Paper 0.08, reference 1, default 0.3.
    pub embedding_range: f64,
    /// How a gradient becomes a step. Paper Adam, reference RMSProp, default plain SGD.
    pub optimizer: Optimizer,
    /// Step size. Paper 0.0006 (section 4.1; 0.0005 for recurrent cells, section 4.2), reference
    /// 0.1, default 0.3; 1.0 goes with 8 children an update.
    pub learning_rate: f64,
    /// The step size is multiplied by this after every [`Config::learning_rate_period`] updates.
    /// Paper silent, 1 for us; reference 0.95; default 1.
    pub learning_rate_factor: f64,
    /// Updates between two multiplications of the step size. Reference 500; without effect in the
    /// other presets, whose factor is 1.
    pub learning_rate_period: u64,
    /// The gradient of a step is scaled down to this global norm where it is longer; `inf` for
    /// none. Paper silent, reference optional and off, so `inf` in both; default 5.
    pub clip_norm: f64,
    /// Weight of the penalty `l2 * sum(theta^2)` over all parameters; its gradient joins after
    /// clipping. Paper 0, reference 0.001, default 0.
    pub l2: f64,
    /// Trials whose gradients are averaged into one update. Paper 8 (section 4.1), reference 1,
    /// default 1.
    pub children_per_update: usize,
    /// What a reward is turned into before the baseline is taken off. Paper and reference
    /// [`RewardScale::Raw`], default [`RewardScale::Rank`].
    pub reward_scale: RewardScale,
    /// Decay of the baseline, an exponential moving average with bias correction. Paper silent,
    /// 0.95 for us (as in arXiv 1707.07012, appendix A.1); reference 0.8; default 0.9.
    pub baseline_decay: f64,
    /// Whether a trial's own reward is part of the baseline it is compared with. Paper
    /// [`Baseline::Earlier`], reference and default [`Baseline::Including`].
    pub baseline: Baseline,
    /// The difference of reward and baseline is clipped to plus or minus this; `inf` for none.
    /// Paper `inf`, reference 0.1 (optionally 0.05), default `inf`.
    pub advantage_limit: f64,
    /// Weight of the policy's entropy, in nats, in the on-policy objective. Paper, reference and
    /// default 0; arXiv 1707.07012 has 0.00001.
    pub entropy_weight: f64,
    /// How many of the best distinct trials priority-queue training (arXiv 1801.03526) keeps.
    /// Default 5; without effect in the other presets.
    pub queue_size: usize,
    /// How many of them are drawn, with replacement, for a second step after every update; 0 for no
    /// second step. Paper and reference 0, default 8.
    pub queue_draws: usize,
    /// Weight of the draws' mean log-probability in the second step. Default 0.2.
    pub queue_weight: f64,
    /// Weight of the policy's entropy along the draws, in nats, in the second step. Default 0.05.
    pub queue_entropy_weight: f64,
    /// A sample that was seen before is drawn again; after this many for one trial the policy starts
    /// anew from fresh random parameters. So is one over a limit, which does not count. 0: repeats
    /// are proposed like any other sample, and nothing is rejected. Paper and reference 0, default
    /// 30.
    pub redraws: usize,
}

/// Which decisions share a table of embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// A table for each decision.
    None,
    /// One table for all decisions of a kind with the same values, such as the filters of every
    /// layer.
    Kind,
}

/// How a gradient becomes a step; all constants are those of the optimizers of `nasrl-tensor`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent.
    #[serde(rename_all = "kebab-case")]
    Sgd {
        /// Share of the last step that is added to the next. Default 0.
        #[serde(default)]
        momentum: f64,
    },
    /// Adam (arXiv 1412.6980).
    #[serde(rename_all = "kebab-case")]
    Adam {
        /// Decay of the gradient's average. Paper silent, 0.9 for us.
        #[serde(default = "adam_beta1")]
        beta1: f64,
        /// Decay of the squared gradient's average. Paper silent, 0.999 for us.
        #[serde(default = "adam_beta2")]
        beta2: f64,
        /// Added to the root of the squared gradient's average. Paper silent, 1e-8 for us.
        #[serde(default = "adam_epsilon")]
        epsilon: f64,
    },
    /// RMSProp as TensorFlow has it.
    #[serde(rename_all = "kebab-case")]
    RmsProp {
        /// Decay of the squared gradient's average. Reference 0.9, TensorFlow's.
        #[serde(default = "rms_prop_decay")]
        decay: f64,
        /// Share of the last step that is added to the next. Reference 0, TensorFlow's.
        #[serde(default)]
        momentum: f64,
        /// Added to the squared gradient's average under the root. Reference 1e-10, TensorFlow's.
        #[serde(default = "rms_prop_epsilon")]
        epsilon: f64,
    },
}

/// What a reward is turned into before the baseline is taken off; statistics go over all trials
/// observed so far, this one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RewardScale {
    /// The reward itself.
    Raw,
    /// `(r - mean) / standard deviation`; 0 while all rewards are equal.
    ZScore,
    /// The normal score of the mid-rank: the standard normal quantile of
    /// `(number below + half the number equal) / number`, clamped to [0.001, 0.999].
    Rank,
}

/// Which trials the baseline of a trial averages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// The trials before it; for the first one the baseline is its own reward.
    Earlier,
    /// The trials before it and itself.
    Including,
}

/// A named [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Ours, for budgets of tens to thousands of trials. Chosen on spaces of 6 to 12 decisions; on a
    /// synthetic landscape over 33 and 102 decisions with skips no other step size or clip that was
    /// tried is better at every budget.
    Default,
    /// arXiv 1611.01578 as published. It needs thousands of trials: below 500 it does no better
    /// than random search. What the paper leaves open of the anchor points is the same in all
    /// presets, see [`Policy`](crate::Policy): the step after one is fed the mean of the hidden
    /// states of the chosen anchors. They too start in the range of the other weights, from where
    /// skips with a rule to them, all or none or those of one layer, are learned as fast as the
    /// kernels, but others hardly.
    Paper,
    /// titu1994/neural-architecture-search, as a policy gradient. What differs from the repository:
    ///
    /// - actions are sampled from the policy, where it takes the most probable ones or, with
    ///   probability 0.8 falling to 0.5, uniform ones; there is no such mixture here, since the
    ///   policy gradient of a uniform draw would not be that of the policy;
    /// - the reward multiplies the log-probability of the action that was taken, with weight 1,
    ///   where it multiplies a cross-entropy whose labels are weighted by their index, and the
    ///   penalty on the parameters as well;
    /// - the moving average of the rewards is corrected for its start at zero on every update,
    ///   where it is on the first only;
    /// - the first input is an embedding of its own, where it is the image of a whole one-hot
    ///   vector.
    Reference,
}

impl Preset {
    /// All presets.
    pub const ALL: [Preset; 3] = [Preset::Default, Preset::Paper, Preset::Reference];

    /// The hyperparameters.
    pub fn config(self) -> Config {
        let default = Config {
            layers: 1,
            units: 32,
            embedding: 32,
            embedding_sharing: Sharing::None,
            initial_range: 0.3,
            embedding_range: 0.3,
            optimizer: Optimizer::Sgd { momentum: 0.0 },
            learning_rate: 0.3,
            learning_rate_factor: 1.0,
            learning_rate_period: 500,
            clip_norm: 5.0,
            l2: 0.0,
            children_per_update: 1,
            reward_scale: RewardScale::Rank,
            baseline_decay: 0.9,
            baseline: Baseline::Including,
            advantage_limit: f64::INFINITY,
            entropy_weight: 0.0,
            queue_size: 5,
            queue_draws: 8,
            queue_weight: 0.2,
            queue_entropy_weight: 0.05,
            redraws: 30,
        };
        let published = Config {
            embedding_sharing: Sharing::Kind,
            clip_norm: f64::INFINITY,
            reward_scale: RewardScale::Raw,
            queue_draws: 0,
            redraws: 0,
            ..default.clone()
        };
        match self {
            Preset::Default => default,
            Preset::Paper => Config {
                layers: 2,
                units: 35,
                embedding: 35,
                initial_range: 0.08,
                embedding_range: 0.08,
                optimizer: Optimizer::Adam {
                    beta1: adam_beta1(),
                    beta2: adam_beta2(),
                    epsilon: adam_epsilon(),
                },
                learning_rate: 0.0006,
                children_per_update: 8,
                baseline_decay: 0.95,
                baseline: Baseline::Earlier,
                ..published
            },
            Preset::Reference => Config {
                embedding: 20,
                initial_range: 0.18,
                embedding_range: 1.0,
                optimizer: Optimizer::RmsProp {
                    decay: rms_prop_decay(),
                    momentum: 0.0,
                    epsilon: rms_prop_epsilon(),
                },
                learning_rate: 0.1,
                learning_rate_factor: 0.95,
                l2: 0.001,
                baseline_decay: 0.8,
                advantage_limit: 0.1,
                ..published
            },
        }
    }
}

impl Config {
    /// Whether every hyperparameter is in its range.
    ///
    /// # Errors
    /// [`ConfigError::Range`] for the first that is not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let size = |key, value: usize| in_range(key, value as f64, 1.0..=MOST, "1 to 65536");
        let number = |key, value: usize| in_range(key, value as f64, 0.0..=MOST, "0 to 65536");
        let weight = |key, value| in_range(key, value, 0.0..=f64::MAX, "0 or more");
        let bound = |key, value: f64| {
            in_range(key, value, f64::MIN_POSITIVE..=f64::INFINITY, "above 0, or inf for none")
        };
        let positive = |key, value| in_range(key, value, f64::MIN_POSITIVE..=f64::MAX, "above 0");
        let share = |key, value| in_range(key, value, 0.0..=BELOW_ONE, "in [0, 1)");
        size("layers", self.layers)?;
        size("units", self.units)?;
        size("embedding", self.embedding)?;
        size("children-per-update", self.children_per_update)?;
        weight("initial-range", self.initial_range)?;
        weight("embedding-range", self.embedding_range)?;
        weight("learning-rate", self.learning_rate)?;
        in_range("learning-rate-factor", self.learning_rate_factor, 0.0..=1.0, "in [0, 1]")?;
        let period = self.learning_rate_period as f64;
        in_range("learning-rate-period", period, 1.0..=MOST_UPDATES, "1 to 1e15")?;
        bound("clip-norm", self.clip_norm)?;
        weight("l2", self.l2)?;
        share("baseline-decay", self.baseline_decay)?;
        bound("advantage-limit", self.advantage_limit)?;
        weight("entropy-weight", self.entropy_weight)?;
        size("queue-size", self.queue_size)?;
        number("queue-draws", self.queue_draws)?;
        number("redraws", self.redraws)?;
        weight("queue-weight", self.queue_weight)?;
        weight("queue-entropy-weight", self.queue_entropy_weight)?;
        match self.optimizer {
            Optimizer::Sgd { momentum } => share("optimizer.momentum", momentum),
            Optimizer::Adam { beta1, beta2, epsilon } => {
                share("optimizer.beta1", beta1)?;
                share("optimizer.beta2", beta2)?;
                positive("optimizer.epsilon", epsilon)
            }
            Optimizer::RmsProp { decay, momentum, epsilon } => {
                share("optimizer.decay", decay)?;
                share("optimizer.momentum", momentum)?;
                positive("optimizer.epsilon", epsilon)
            }
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Preset::Default.config()
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Preset::Default => "default",
            Preset::Paper => "paper",
            Preset::Reference => "reference",
        })
    }
}

impl FromStr for Preset {
    type Err = ConfigError;

    fn from_str(word: &str) -> Result<Self, ConfigError> {
        let named = Preset::ALL.into_iter().find(|preset| preset.to_string() == word);
        named.ok_or_else(|| ConfigError::Preset { found: word.to_owned() })
    }
}

/// The largest number or extent: hundreds of times what any of the papers uses, and small enough
/// that no product of extents overflows.
const MOST: f64 = 65_536.0;
/// Exact in f64 and well within the integers of TOML.
const MOST_UPDATES: f64 = 1e15;
const BELOW_ONE: f64 = 1.0 - f64::EPSILON / 2.0;

fn in_range(
    key: &'static str,
    value: f64,
    range: std::ops::RangeInclusive<f64>,
    rule: &'static str,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Range { key, value, rule })
}

fn adam_beta1() -> f64 {
    0.9
}

fn adam_beta2() -> f64 {
    0.999
}

fn adam_epsilon() -> f64 {
    1e-8
}

fn rms_prop_decay() -> f64 {
    0.9
}

fn rms_prop_epsilon() -> f64 {
    1e-10
}
