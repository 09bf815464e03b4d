//! One setting of what tuning varies.

use std::fmt;
use std::str::FromStr;

use nasrl_child::Recipe;
use nasrl_child::recipe::{BatchNorm, Schedule};

use crate::recipes::{RecipeName, scaled, stretched};

/// The values that tuning varies of a recipe. Written as `recipe=run epochs=3 learning-rate=0.002
/// weight-decay=0 batch-norm-epsilon=0.00001 decay-epoch=2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// The recipe that everything else is of.
    pub recipe: RecipeName,
    /// How many epochs to train.
    pub epochs: usize,
    /// The step size at the start.
    pub learning_rate: f64,
    /// The weight decay.
    pub weight_decay: f64,
    /// What batch normalisation adds to the variance.
    pub batch_norm_epsilon: f64,
    /// The epoch after which the step size falls first; `None` for the recipe's own schedule.
    pub decay_epoch: Option<usize>,
}

/// Text that is no [`Setting`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a setting of a recipe")]
pub struct SettingError(String);

/// What the step size is multiplied by where the recipe has no factor of its own.
const FACTOR: f64 = 0.1;

impl Setting {
    /// The recipe with these values, in a run with the recipe `run`.
    ///
    /// Where the step size falls in several epochs, the later ones move with the first, so that the
    /// parts of the training after it keep their proportions.
    pub fn apply(&self, run: &Recipe) -> Recipe {
        let recipe = stretched(&self.recipe.recipe(run), self.epochs);
        let schedule = match self.decay_epoch {
            None => recipe.schedule,
            Some(first) => decaying(recipe.schedule, first, self.epochs),
        };
        Recipe {
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            batch_norm: BatchNorm { epsilon: self.batch_norm_epsilon, ..recipe.batch_norm },
            schedule,
            ..recipe
        }
    }

    /// What is varied, by name.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, String)> {
        [
            ("learning-rate", Some(self.learning_rate.to_string())),
            ("weight-decay", Some(self.weight_decay.to_string())),
            ("batch-norm-epsilon", Some(self.batch_norm_epsilon.to_string())),
            ("decay-epoch", self.decay_epoch.map(|epoch| epoch.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    /// The same setting for a training of another length.
    pub fn stretched(&self, epochs: usize) -> Setting {
        let decay_epoch = self.decay_epoch.map(|epoch| scaled(epoch, epochs, self.epochs));
        Setting { epochs, decay_epoch, ..*self }
    }
}

/// A schedule whose step size falls first after the epoch `first`.
fn decaying(schedule: Schedule, first: usize, epochs: usize) -> Schedule {
    let (after, factor) = match schedule {
        Schedule::Step { after, factor } if !after.is_empty() => (after, factor),
        _ => (vec![first], FACTOR),
    };
    let (was, end) = (after[0], epochs);
    let (left, was_left) = (end.saturating_sub(first), end.saturating_sub(was));
    let moved = |after: usize| first + scaled(after - was, left, was_left);
    Schedule::Step { after: after.into_iter().map(moved).collect(), factor }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "recipe={} epochs={}", self.recipe, self.epochs)?;
        self.values().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl FromStr for Setting {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Setting, SettingError> {
        let refused = || SettingError(text.to_owned());
        let pairs: Option<Vec<_>> =
            text.split_whitespace().map(|pair| pair.split_once('=')).collect();
        let pairs = pairs.ok_or_else(refused)?;
        let value = |key| pairs.iter().find(|pair| pair.0 == key).map(|pair| pair.1);
        let needed = |key| value(key).ok_or_else(refused);
        let number = |key| needed(key)?.parse().map_err(|_| refused());
        let count = |text: &str| text.parse::<usize>().map_err(|_| refused());
        Ok(Setting {
            recipe: needed("recipe")?.parse().map_err(|_| refused())?,
            epochs: count(needed("epochs")?)?,
            learning_rate: number("learning-rate")?,
            weight_decay: number("weight-decay")?,
            batch_norm_epsilon: number("batch-norm-epsilon")?,
            decay_epoch: value("decay-epoch").map(count).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting() -> Setting {
        Setting {
            recipe: RecipeName::Final,
            epochs: 20,
            learning_rate: 0.05,
            weight_decay: 5e-4,
            batch_norm_epsilon: 1e-3,
            decay_epoch: Some(12),
        }
    }

    #[test]
    fn settings_are_read_as_they_are_written() {
        let text = "recipe=final epochs=20 learning-rate=0.05 weight-decay=0.0005 \
                    batch-norm-epsilon=0.001 decay-epoch=12";
        assert_eq!(setting().to_string(), text);
        for setting in
            [setting(), Setting { decay_epoch: None, weight_decay: 0.1 + 0.2, ..setting() }]
        {
            assert_eq!(setting.to_string().parse(), Ok(setting));
        }
        assert!("recipe=final epochs=20".parse::<Setting>().is_err());
    }

    #[test]
    fn later_falls_of_the_step_size_move_with_the_first() {
        let recipe = setting().apply(&Recipe::reference());
        assert_eq!((recipe.learning_rate, recipe.weight_decay), (0.05, 5e-4));
        assert_eq!((recipe.epochs, recipe.batch_norm.epsilon), (20, 1e-3));
        // From 10 and 15 of 20: first to 12, then at half of what is left.
        assert_eq!(recipe.schedule, Schedule::Step { after: vec![12, 16], factor: 0.1 });
        let longer = setting().stretched(300).apply(&Recipe::reference());
        assert_eq!(longer.schedule, Schedule::Step { after: vec![180, 240], factor: 0.1 });
        let own = Setting { decay_epoch: None, ..setting() }.apply(&Recipe::reference());
        assert_eq!(own.schedule, Schedule::Step { after: vec![10, 15], factor: 0.1 });
        let constant = Setting { recipe: RecipeName::Paper, ..setting() };
        let expected = Schedule::Step { after: vec![12], factor: 0.1 };
        assert_eq!(constant.apply(&Recipe::reference()).schedule, expected);
    }
}
