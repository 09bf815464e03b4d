//! Recipes with names.

use std::fmt;
use std::str::FromStr;

use nasrl_child::Recipe;
use nasrl_child::recipe::Schedule;
use serde::{Deserialize, Serialize};

/// A recipe by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RecipeName {
    /// That of the run.
    Run,
    /// That of titu1994/neural-architecture-search: Adam 0.001, no augmentation.
    Reference,
    /// That of the children of arXiv 1611.01578, section 4.1: Nesterov momentum 0.9, 0.1, weight
    /// decay 1e-4, whitening, crop and flip.
    Paper,
    /// The paper's, with a step size that falls to a tenth at 1/2 and at 3/4 of 300 epochs, as
    /// DenseNet's does (arXiv 1608.06993, section 4.2): training to convergence.
    Final,
}

/// A word that names no [`RecipeName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a recipe; there are run, reference, paper and final")]
pub struct UnknownRecipe(String);

const FINAL_EPOCHS: usize = 300;

impl RecipeName {
    /// All there are.
    pub const ALL: [RecipeName; 4] =
        [RecipeName::Run, RecipeName::Reference, RecipeName::Paper, RecipeName::Final];

    /// The recipe, in a run with this one.
    pub fn recipe(self, run: &Recipe) -> Recipe {
        match self {
            RecipeName::Run => run.clone(),
            RecipeName::Reference => Recipe::reference(),
            RecipeName::Paper => Recipe::paper(),
            RecipeName::Final => {
                let after = vec![FINAL_EPOCHS / 2, FINAL_EPOCHS * 3 / 4];
                let schedule = Schedule::Step { after, factor: 0.1 };
                Recipe { epochs: FINAL_EPOCHS, schedule, ..Recipe::paper() }
            }
        }
    }
}

/// A recipe with another number of epochs, in which the step size falls at the same parts of the
/// training.
pub fn stretched(recipe: &Recipe, epochs: usize) -> Recipe {
    let mut stretched = Recipe { epochs, ..recipe.clone() };
    if let Schedule::Step { after, .. } = &mut stretched.schedule {
        after.iter_mut().for_each(|after| *after = scaled(*after, epochs, recipe.epochs));
    }
    stretched
}

/// The epoch of a training of `epochs` that is where `epoch` is in one of `of`, rounded down.
pub(crate) fn scaled(epoch: usize, epochs: usize, of: usize) -> usize {
    let scaled = epoch as u128 * epochs as u128 / of.max(1) as u128;
    usize::try_from(scaled).unwrap_or(usize::MAX)
}

impl fmt::Display for RecipeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecipeName::Run => "run",
            RecipeName::Reference => "reference",
            RecipeName::Paper => "paper",
            RecipeName::Final => "final",
        })
    }
}

impl FromStr for RecipeName {
    type Err = UnknownRecipe;

    fn from_str(word: &str) -> Result<RecipeName, UnknownRecipe> {
        let named = RecipeName::ALL.into_iter().find(|name| name.to_string() == word);
        named.ok_or_else(|| UnknownRecipe(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_size_falls_at_the_same_parts_of_the_training() {
        let last = RecipeName::Final.recipe(&Recipe::reference());
        let after = |recipe: &Recipe| match &recipe.schedule {
            Schedule::Step { after, .. } => after.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!((last.epochs, after(&last)), (300, vec![150, 225]));
        let short = stretched(&last, 10);
        assert_eq!((short.epochs, after(&short)), (10, vec![5, 7]));
        short.validate().unwrap();
        assert_eq!(stretched(&short, 10), short);
    }
}
