//! How a child is trained, apart from its architecture.

mod optimizer;

use std::f64::consts::PI;

use nasrl_tensor::cpu::Conv2dAlgorithm;
use nasrl_tensor::ops::{OptimizerStep, StepSizes};
use nasrl_tensor::{Cpu, Memory};
use serde::{Deserialize, Serialize};

pub use optimizer::Optimizer;

use crate::RecipeError;

/// How a child is trained.
///
/// Written in TOML with keys in kebab case; keys that are left out are those of
/// [`Recipe::reference`], unknown keys are refused. "Paper" is arXiv 1611.01578, section 4.1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Recipe {
    /// Passes over the training images. Paper 50.
    pub epochs: usize,
    /// Images of a step; the last step of an epoch takes what is left. Reference 128, paper 64
    /// (DenseNet's).
    pub batch: usize,
    /// The order of the training images.
    pub order: Order,
    /// Step size at the start. Reference 0.001, paper 0.1.
    pub learning_rate: f64,
    /// What becomes of the step size.
    pub schedule: Schedule,
    /// How a gradient becomes a step.
    pub optimizer: Optimizer,
    /// Added to the gradient of every trained parameter, times the parameter. Reference 0, paper
    /// 1e-4.
    pub weight_decay: f64,
    /// How bytes become numbers.
    pub normalisation: Normalisation,
    /// What is done to training images, drawn anew each time.
    pub augmentation: Augmentation,
    /// Constants of batch normalisation, for children that have it.
    pub batch_norm: BatchNorm,
    /// The type of activations and their gradients; parameters, statistics, head and optimizer are
    /// f32 always.
    pub precision: Precision,
    /// How a CPU computes convolutions; a GPU has one way.
    pub convolution: Convolution,
}

/// The order of the training images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// A new random order each epoch.
    Shuffled,
    /// That of the dataset, in every epoch.
    Fixed,
}

/// What becomes of the step size in the course of the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Schedule {
    /// It stays. (With braces, or serde would let other keys pass beside the kind.)
    Constant {},
    /// It is multiplied by `factor` after each of the epochs in `after`, which ascend.
    #[serde(rename_all = "kebab-case")]
    Step {
        /// Numbers of finished epochs.
        after: Vec<usize>,
        /// What it is multiplied by.
        #[serde(default = "tenth")]
        factor: f64,
    },
    /// It falls along half a cosine to `last` times its start, step by step:
    /// `last + (1 - last) (1 + cos(pi t / T)) / 2` (arXiv 1608.03983, section 3, one period).
    #[serde(rename_all = "kebab-case")]
    Cosine {
        /// The part of it that is left at the end.
        #[serde(default)]
        last: f64,
    },
}

/// How bytes become numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalisation {
    /// `x / 255`.
    Scale,
    /// Each channel less its mean, divided by its standard deviation, over the training images.
    PerChannel,
    /// Each image less its mean, divided by its standard deviation, as the paper has it.
    Whitening,
}

/// What is done to training images, drawn anew each time; evaluation does none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Augmentation {
    /// Cutting out a piece of the image's own size at a random place.
    pub crop: Crop,
    /// Mirroring left and right.
    pub flip: Flip,
    /// The side of a square that is set to zero at a random place (arXiv 1708.04552); 0 for none.
    pub cutout: usize,
}

/// Mirroring left and right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flip {
    /// Never.
    #[default]
    None,
    /// With probability 1/2.
    Horizontal,
}

/// What a piece of the image's own size is cut out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Crop {
    /// The image itself, so that nothing is cut.
    None {},
    /// The image with zeros around it.
    Pad {
        /// Rows and columns of zeros on each side.
        by: usize,
    },
    /// The image enlarged, bilinearly. Evaluation takes the centre of the same enlarged image.
    Upsample {
        /// Rows and columns by which it is larger.
        by: usize,
    },
}

/// Constants of batch normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BatchNorm {
    /// Added to the variance.
    pub epsilon: f64,
    /// What the running statistics keep of themselves at each step.
    pub momentum: f64,
}

/// The type of activations and their gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32 bits.
    F32,
    /// The upper 16 bits of an f32; sums are f32.
    Bf16,
}

/// How a CPU computes convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Convolution {
    /// As sums of products of pixels and weights.
    Direct,
    /// By Winograd's algorithm where that is faster ([`Conv2dAlgorithm::Winograd`]): the same up to
    /// rounding.
    Winograd,
}

impl Recipe {
    /// The reference repository's (titu1994/neural-architecture-search): inputs divided by 255, no
    /// augmentation, Adam with Keras's constants, batches of 128, reshuffled each epoch, ten
    /// epochs.
    pub fn reference() -> Self {
        Recipe {
            epochs: 10,
            batch: 128,
            order: Order::Shuffled,
            learning_rate: 0.001,
            schedule: Schedule::Constant {},
            optimizer: Optimizer::adam(),
            weight_decay: 0.0,
            normalisation: Normalisation::Scale,
            augmentation: Augmentation::default(),
            batch_norm: BatchNorm::default(),
            precision: Precision::F32,
            convolution: Convolution::Winograd,
        }
    }

    /// The paper's for its convolutional networks (arXiv 1611.01578, section 4.1): whitened images,
    /// enlarged, cut at random and mirrored; Nesterov momentum 0.9, step size 0.1, weight decay
    /// 1e-4, 50 epochs. The enlarged side of 40 pixels stands in the appendix of its successor
    /// (arXiv 1707.07012). The batch of 64 is that of DenseNet (arXiv 1608.06993), whose training
    /// the paper refers to. Whether the step size falls it does not say: here it stays, and
    /// [`Schedule::Step`] after half and three quarters of the epochs is DenseNet's, [`Schedule::Cosine`]
    /// the successor's. Constants of batch normalisation are not given; they are the reference's.
    pub fn paper() -> Self {
        Recipe {
            epochs: 50,
            batch: 64,
            learning_rate: 0.1,
            optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: true },
            weight_decay: 1e-4,
            normalisation: Normalisation::Whitening,
            augmentation: Augmentation {
                crop: Crop::Upsample { by: 8 },
                flip: Flip::Horizontal,
                cutout: 0,
            },
            ..Self::reference()
        }
    }

    /// The processor that children are trained on by this recipe.
    pub(crate) fn cpu(&self) -> Cpu {
        Cpu::serial().with_conv2d(match self.convolution {
            Convolution::Direct => Conv2dAlgorithm::Direct,
            Convolution::Winograd => Conv2dAlgorithm::Winograd,
        })
    }

    /// What the optimizer does in a step.
    pub(crate) fn step<'a, B: Memory>(&self, sizes: StepSizes<'a, B>) -> OptimizerStep<'a, B> {
        let Recipe { optimizer, weight_decay, .. } = *self;
        OptimizerStep { rule: optimizer.rule(), weight_decay, sizes }
    }

    /// The step size of a step, both counted from 0.
    pub(crate) fn learning_rate_at(&self, epoch: usize, step: u64, steps: u64) -> f64 {
        let part = match &self.schedule {
            Schedule::Constant {} => 1.0,
            Schedule::Step { after, factor } => {
                let falls = after.iter().filter(|&&after| epoch >= after).count();
                factor.powi(falls as i32)
            }
            Schedule::Cosine { last } => {
                let done = step as f64 / steps.max(1) as f64;
                last + (1.0 - last) * (1.0 + (PI * done).cos()) / 2.0
            }
        };
        self.learning_rate * part
    }

    /// Whether every value is in its range.
    ///
    /// # Errors
    /// [`RecipeError`] for the first that is not.
    pub fn validate(&self) -> Result<(), RecipeError> {
        const SHARE: &str = "at least 0 and less than 1";
        let share = |value: f64| (0.0..1.0).contains(&value);
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let not_negative = |value: f64| value >= 0.0 && value.is_finite();
        check("epochs", self.epochs, self.epochs >= 1, "at least 1")?;
        check("batch", self.batch, (1..=1 << 16).contains(&self.batch), "1 to 65536")?;
        let rate = self.learning_rate;
        check("learning-rate", rate, not_negative(rate), "0 or more, and finite")?;
        let decay = self.weight_decay;
        check("weight-decay", decay, not_negative(decay), "0 or more, and finite")?;
        match &self.schedule {
            Schedule::Constant {} => {}
            Schedule::Step { after, factor } => {
                let rule = "ascending numbers of epochs";
                check("schedule.after", format!("{after:?}"), after.is_sorted(), rule)?;
                check("schedule.factor", factor, not_negative(*factor), "0 or more, and finite")?;
            }
            Schedule::Cosine { last } => {
                check("schedule.last", last, (0.0..=1.0).contains(last), "0 to 1")?;
            }
        }
        match self.optimizer {
            Optimizer::Sgd { momentum, .. } => {
                check("optimizer.momentum", momentum, share(momentum), SHARE)?;
            }
            Optimizer::Adam { beta1, beta2, epsilon } => {
                check("optimizer.beta1", beta1, share(beta1), SHARE)?;
                check("optimizer.beta2", beta2, share(beta2), SHARE)?;
                check("optimizer.epsilon", epsilon, positive(epsilon), "above 0")?;
            }
            Optimizer::RmsProp { decay, momentum, epsilon } => {
                check("optimizer.decay", decay, share(decay), SHARE)?;
                check("optimizer.momentum", momentum, share(momentum), SHARE)?;
                check("optimizer.epsilon", epsilon, positive(epsilon), "above 0")?;
            }
        }
        let BatchNorm { epsilon, momentum } = self.batch_norm;
        check("batch-norm.epsilon", epsilon, positive(epsilon), "above 0")?;
        check("batch-norm.momentum", momentum, (0.0..=1.0).contains(&momentum), "0 to 1")
    }
}

impl Default for Recipe {
    fn default() -> Self {
        Self::reference()
    }
}

impl Default for Crop {
    fn default() -> Self {
        Crop::None {}
    }
}

impl Default for BatchNorm {
    /// PyTorch's epsilon and momentum, which it writes as 0.1. Keras's 0.99 is too slow for the
    /// few hundred steps that a child may get.
    fn default() -> Self {
        BatchNorm { epsilon: 1e-5, momentum: 0.9 }
    }
}

fn check(
    key: &'static str,
    value: impl ToString,
    good: bool,
    rule: &'static str,
) -> Result<(), RecipeError> {
    if good { Ok(()) } else { Err(RecipeError { key, value: value.to_string(), rule }) }
}

fn tenth() -> f64 {
    0.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_sizes_follow_their_schedules() {
        let rate = |schedule, epoch, step| {
            Recipe { learning_rate: 2.0, schedule, ..Recipe::reference() }
                .learning_rate_at(epoch, step, 100)
        };
        assert_eq!(rate(Schedule::Constant {}, 7, 99), 2.0);
        let step = Schedule::Step { after: vec![2, 5], factor: 0.5 };
        for (epoch, expected) in [(0, 2.0), (1, 2.0), (2, 1.0), (4, 1.0), (5, 0.5), (9, 0.5)] {
            assert_eq!(rate(step.clone(), epoch, 0), expected, "epoch {epoch}");
        }
        let cosine = Schedule::Cosine { last: 0.1 };
        for (step, expected) in [(0, 2.0), (50, 1.1), (100, 0.2)] {
            assert!((rate(cosine.clone(), 0, step) - expected).abs() < 1e-12, "step {step}");
        }
    }

    #[test]
    fn values_out_of_range_are_named() {
        let reference = Recipe::reference;
        for (recipe, key) in [
            (Recipe { epochs: 0, ..reference() }, "epochs"),
            (Recipe { batch: 0, ..reference() }, "batch"),
            (Recipe { learning_rate: f64::NAN, ..reference() }, "learning-rate"),
            (Recipe { weight_decay: -1.0, ..reference() }, "weight-decay"),
            (
                Recipe {
                    optimizer: Optimizer::Sgd { momentum: 1.0, nesterov: false },
                    ..reference()
                },
                "optimizer.momentum",
            ),
            (
                Recipe {
                    schedule: Schedule::Step { after: vec![3, 1], factor: 0.1 },
                    ..reference()
                },
                "schedule.after",
            ),
        ] {
            assert_eq!(recipe.validate().unwrap_err().key, key);
        }
        for recipe in [Recipe::reference(), Recipe::paper()] {
            recipe.validate().unwrap();
        }
    }

    #[test]
    fn toml_gives_recipes_back() {
        for recipe in [Recipe::reference(), Recipe::paper()] {
            let text = toml::to_string(&recipe).unwrap();
            assert_eq!(toml::from_str::<Recipe>(&text).unwrap(), recipe, "{text}");
        }
        let text = r#"
            epochs = 3
            schedule = { kind = "step", after = [1, 2] }
            optimizer = { kind = "sgd", momentum = 0.9, nesterov = true }
            normalisation = "per-channel"
            augmentation = { crop = { kind = "pad", by = 4 }, flip = "horizontal", cutout = 8 }
            batch-norm = { epsilon = 0.001 }
            precision = "bf16"
            convolution = "direct"
        "#;
        let expected = Recipe {
            epochs: 3,
            schedule: Schedule::Step { after: vec![1, 2], factor: 0.1 },
            optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: true },
            normalisation: Normalisation::PerChannel,
            augmentation: Augmentation {
                crop: Crop::Pad { by: 4 },
                flip: Flip::Horizontal,
                cutout: 8,
            },
            batch_norm: BatchNorm { epsilon: 0.001, ..BatchNorm::default() },
            precision: Precision::Bf16,
            convolution: Convolution::Direct,
            ..Recipe::reference()
        };
        assert_eq!(toml::from_str::<Recipe>(text).unwrap(), expected);
    }

    #[test]
    fn unknown_keys_are_refused() {
        for text in [
            "epoch = 3",
            "optimizer = { kind = \"adam\", momentum = 0.9 }",
            "optimizer = { kind = \"lion\" }",
            "schedule = { kind = \"constant\", last = 0 }",
            "augmentation = { mirror = true }",
            "augmentation = { crop = { kind = \"none\", by = 4 } }",
            "batch-norm = { decay = 0.9 }",
            "precision = \"fp8\"",
            "convolution = \"fft\"",
        ] {
            assert!(toml::from_str::<Recipe>(text).is_err(), "{text}");
        }
    }
}
