//! How a gradient becomes a step.

use nasrl_tensor::ops::UpdateRule;
use serde::{Deserialize, Serialize};

/// How a gradient becomes a step; the formulas are those of [`UpdateRule`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent.
    #[serde(rename_all = "kebab-case")]
    Sgd {
        /// Share of the last step that is added to the next.
        #[serde(default)]
        momentum: f64,
        /// Whether the gradient counts as one taken where the momentum leads to.
        #[serde(default)]
        nesterov: bool,
    },
    /// Adam (arXiv 1412.6980).
    #[serde(rename_all = "kebab-case")]
    Adam {
        /// Decay of the gradient's average.
        #[serde(default = "adam_beta1")]
        beta1: f64,
        /// Decay of the squared gradient's average.
        #[serde(default = "adam_beta2")]
        beta2: f64,
        /// Added to the root of the squared gradient's average.
        #[serde(default = "adam_epsilon")]
        epsilon: f64,
    },
    /// RMSProp as TensorFlow has it.
    #[serde(rename_all = "kebab-case")]
    RmsProp {
        /// Decay of the squared gradient's average.
        #[serde(default = "rms_prop_decay")]
        decay: f64,
        /// Share of the last step that is added to the next.
        #[serde(default)]
        momentum: f64,
        /// Added to the squared gradient's average under the root.
        #[serde(default = "rms_prop_epsilon")]
        epsilon: f64,
    },
}

impl Optimizer {
    /// Adam with Keras's constants.
    pub fn adam() -> Self {
        Optimizer::Adam { beta1: adam_beta1(), beta2: adam_beta2(), epsilon: adam_epsilon() }
    }

    /// The tensor crate's form of it.
    pub(crate) fn rule(self) -> UpdateRule {
        match self {
            Optimizer::Sgd { momentum, nesterov } => UpdateRule::Sgd { momentum, nesterov },
            Optimizer::Adam { beta1, beta2, epsilon } => UpdateRule::Adam { beta1, beta2, epsilon },
            Optimizer::RmsProp { decay, momentum, epsilon } => {
                UpdateRule::RmsProp { decay, momentum, epsilon }
            }
        }
    }
}

fn adam_beta1() -> f64 {
    0.9
}

fn adam_beta2() -> f64 {
    0.999
}

fn adam_epsilon() -> f64 {
    1e-7
}

fn rms_prop_decay() -> f64 {
    0.9
}

fn rms_prop_epsilon() -> f64 {
    1e-10
}
