//! The grid of settings.

use nasrl_child::Recipe;
use nasrl_child::recipe::{Optimizer, Schedule};
use nasrl_space::{Graph, Op};
use nasrl_tensor::random::{Key, Philox};

use crate::recipes::{RecipeName, stretched};
use crate::setting::Setting;

/// Values to try: every combination of one of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// The recipe that is tuned.
    pub recipe: RecipeName,
    /// How many epochs each setting is trained.
    pub epochs: usize,
    /// Step sizes at the start.
    pub learning_rates: Vec<f64>,
    /// Weight decays.
    pub weight_decays: Vec<f64>,
    /// What batch normalisation adds to the variance.
    pub batch_norm_epsilons: Vec<f64>,
    /// Epochs after which the step size falls first; `None` for the recipe's own schedule.
    pub decay_epochs: Vec<Option<usize>>,
}

/// Keras's and TensorFlow's.
const LARGER_EPSILON: f64 = 1e-3;

impl Grid {
    /// A grid around a recipe, for a network. Its own values come first.
    ///
    /// Step sizes: half and twice the recipe's, a third and three times for Adam and RMSProp, which
    /// are less sensitive to it. Weight decays: five times the recipe's, or 1e-4 if it has none,
    /// 1e-5 for Adam and RMSProp. Epsilons: 1e-3, if the network has batch normalisation. The step
    /// size falls as the recipe has it, after half, or after three quarters of the epochs. The
    /// paper (arXiv 1611.01578, section 4.1) names these four and no values.
    pub fn around(name: RecipeName, run: &Recipe, epochs: usize, graph: &Graph) -> Grid {
        let recipe = stretched(&name.recipe(run), epochs);
        let is_plain = matches!(recipe.optimizer, Optimizer::Sgd { .. });
        let Recipe { learning_rate, weight_decay, .. } = recipe;
        let factor = if is_plain { 2.0 } else { 3.0 };
        let other_decay = match (weight_decay > 0.0, is_plain) {
            (true, _) => 5.0 * weight_decay,
            (false, true) => 1e-4,
            (false, false) => 1e-5,
        };
        let mut epsilons = vec![recipe.batch_norm.epsilon];
        let normalises = graph.nodes().iter().any(|node| node.op == Op::BatchNorm);
        if normalises && recipe.batch_norm.epsilon != LARGER_EPSILON {
            epsilons.push(LARGER_EPSILON);
        }
        let own = match &recipe.schedule {
            Schedule::Step { after, .. } => after.first().copied(),
            _ => None,
        };
        let mut decay_epochs = vec![None];
        for epoch in [epochs.div_ceil(2), (3 * epochs).div_ceil(4)] {
            let is_new = own != Some(epoch) && !decay_epochs.contains(&Some(epoch));
            if (1..epochs).contains(&epoch) && is_new {
                decay_epochs.push(Some(epoch));
            }
        }
        Grid {
            recipe: name,
            epochs,
            learning_rates: vec![learning_rate, learning_rate / factor, learning_rate * factor],
            weight_decays: vec![weight_decay, other_decay],
            batch_norm_epsilons: epsilons,
            decay_epochs,
        }
    }

    /// All settings, at most `limit`: of a larger grid the first, and others in an order that
    /// `seed` decides.
    pub fn settings(&self, limit: Option<usize>, seed: u64) -> Vec<Setting> {
        let Grid { recipe, epochs, .. } = *self;
        let mut settings = Vec::new();
        for &learning_rate in &self.learning_rates {
            for &weight_decay in &self.weight_decays {
                for &batch_norm_epsilon in &self.batch_norm_epsilons {
                    for &decay_epoch in &self.decay_epochs {
                        settings.push(Setting {
                            recipe,
                            epochs,
                            learning_rate,
                            weight_decay,
                            batch_norm_epsilon,
                            decay_epoch,
                        });
                    }
                }
            }
        }
        if let Some(limit) = limit.filter(|&limit| limit < settings.len()) {
            let mut order: Vec<u32> = (1..settings.len() as u32).collect();
            Philox::new(Key::new(seed, 0, "tuning grid")).shuffle(&mut order);
            let mut chosen: Vec<usize> = vec![0];
            chosen.extend(order.iter().map(|&index| index as usize));
            chosen.truncate(limit);
            settings = chosen.into_iter().map(|index| settings[index]).collect();
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use nasrl_space::{Image, Space};

    use super::*;

    fn graph(space: &Space, tokens: &str) -> Graph {
        let image = Image { height: 28, width: 28, channels: 1 };
        space.build(&space.parse(tokens).unwrap(), image, 10).unwrap()
    }

    #[test]
    fn optimizers_have_grids_of_their_own() {
        let run = Recipe { epochs: 3, ..Recipe::reference() };
        let space = Space::reference();
        let plain = graph(&space, "3,16,1,16,3,16,1,16");
        let adam = Grid::around(RecipeName::Run, &run, 4, &plain);
        assert_eq!(adam.learning_rates[0], 0.001);
        assert_eq!(adam.weight_decays, [0.0, 1e-5]);
        assert_eq!(adam.batch_norm_epsilons, [1e-5]);
        assert_eq!(adam.decay_epochs, [None, Some(2), Some(3)]);
        assert_eq!(adam.settings(None, 0).len(), 18);
        let normalised = graph(&space.with_batch_norm().unwrap(), "3,16,1,16,3,16,1,16");
        let last = Grid::around(RecipeName::Final, &run, 20, &normalised);
        assert_eq!(last.learning_rates, [0.1, 0.05, 0.2]);
        assert_eq!(last.weight_decays, [1e-4, 5e-4]);
        assert_eq!(last.batch_norm_epsilons, [1e-5, 1e-3]);
        // Half is the recipe's own.
        assert_eq!(last.decay_epochs, [None, Some(15)]);
        assert_eq!(Grid::around(RecipeName::Run, &run, 1, &plain).decay_epochs, [None]);
    }

    #[test]
    fn a_part_of_the_grid_follows_the_seed() {
        let run = Recipe::reference();
        let grid = Grid::around(
            RecipeName::Run,
            &run,
            10,
            &graph(&Space::reference(), "3,16,1,16,3,16,1,16"),
        );
        let all = grid.settings(None, 0);
        let some = grid.settings(Some(7), 5);
        assert_eq!((some.len(), some[0]), (7, all[0]));
        assert!(some.iter().all(|setting| all.contains(setting)));
        assert!((1..7).all(|index| !some[..index].contains(&some[index])));
        assert_eq!(grid.settings(Some(7), 5), some);
        assert_ne!(grid.settings(Some(7), 6), some);
        assert_eq!(grid.settings(Some(99), 5), all);
    }
}
