//! Rewards of architectures that were never trained: a synthetic landscape over the tokens of the
//! paper's space, whose optimum is known.
//!
//! A token string has the value
//!
//! `sum over layers (a[height] + b[width] + c[filters] + d[height][width])`
//! `+ sum over pairs of consecutive layers (e[filters][filters'] + f[height][height'])`
//! `+ sum over skips g[source][filters] - 0.3 (skips of the layer - m)^2`
//!
//! with coefficients of every layer drawn from a normal distribution. Each term knows one layer or
//! two neighbours, so that dynamic programming over layers finds the best token string exactly. An
//! accuracy is `0.95 - 0.2 u^2`, at least 0.1, with `u` the distance to the best value as a multiple
//! of the mean distance: flat near the top, as accuracies are. Training noise is normal.

use nasrl_space::{Space, Tokens};
use nasrl_tensor::random::{Key, Philox};

/// Values of a filter height, of a filter width and of the number of filters.
const VALUES: usize = 4;
/// What a layer can be apart from its skips.
const STATES: usize = VALUES * VALUES * VALUES;
/// Random token strings whose mean distance to the best sets the scale.
const SAMPLES: usize = 4096;
/// The accuracy of the best.
pub const BEST: f64 = 0.95;
/// The standard deviation of an accuracy when the same child is trained again.
pub const NOISE: f64 = 0.005;

/// A landscape over the token strings of one depth.
#[derive(Clone, Debug)]
pub struct Landscape {
    space: Space,
    seed: u64,
    layers: Vec<Layer>,
    best: (Tokens, f64),
    /// The mean distance to the best value.
    scale: f64,
}

/// The coefficients of a layer.
#[derive(Clone, Debug)]
struct Layer {
    single: [[f64; VALUES]; 3],
    height_and_width: [[f64; VALUES]; VALUES],
    /// By the layer before it.
    filters_after: [[f64; VALUES]; VALUES],
    height_after: [[f64; VALUES]; VALUES],
    /// A skip from each earlier layer, by this layer's filters.
    skips: Vec<[f64; VALUES]>,
    /// How many skips are best, if they were all alike.
    preferred: f64,
}

/// A layer's height, width and filters.
type State = [usize; 3];

impl Landscape {
    /// A landscape over `nas-rl-cnn` at a depth.
    ///
    /// # Panics
    /// If the space has no such depth.
    pub fn new(depth: usize, seed: u64) -> Self {
        let space = Space::open("nas-rl-cnn").and_then(|space| space.at_depth(depth));
        let space = space.expect("a depth of the space");
        let mut stream = Philox::new(Key::new(seed, 0, "landscape"));
        let layers = (0..depth).map(|layer| Layer::random(&mut stream, layer)).collect();
        let nothing = space.unrank(&0_u32.into()).expect("no space is empty");
        let mut landscape = Landscape { space, seed, layers, best: (nothing, 0.0), scale: 1.0 };
        landscape.best = landscape.search();
        let mut stream = Philox::new(Key::new(seed, 0, "scale"));
        let distance = |_| landscape.best.1 - landscape.value(&landscape.space.sample(&mut stream));
        landscape.scale = (0..SAMPLES).map(distance).sum::<f64>() / SAMPLES as f64;
        landscape
    }

    /// The space that it is over.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The token string of the greatest value, whose accuracy is [`BEST`].
    pub fn best(&self) -> &Tokens {
        &self.best.0
    }

    /// The expected accuracy of a token string.
    pub fn accuracy(&self, tokens: &Tokens) -> f64 {
        let distance = (self.best.1 - self.value(tokens)) / self.scale;
        (BEST - 0.2 * distance * distance).max(0.1)
    }

    /// An accuracy as a training would show it, with the noise of a run's trial.
    pub fn measured(&self, tokens: &Tokens, run: u64, trial: u64) -> f64 {
        let mut stream = Philox::new(Key::new(self.seed ^ run.rotate_left(32), trial, "noise"));
        self.accuracy(tokens) + NOISE * normal(&mut stream)
    }

    fn value(&self, tokens: &Tokens) -> f64 {
        let mut rest = tokens.as_slice().iter().map(|&index| usize::from(index));
        let mut before: Option<State> = None;
        let mut value = 0.0;
        for (index, layer) in self.layers.iter().enumerate() {
            let mut next = || rest.next().expect("tokens of this space");
            let state = [next(), next(), next()];
            let skips: Vec<bool> = (0..index).map(|_| next() == 1).collect();
            value += layer.alone(state) + layer.of_skips(state, &skips);
            value += before.map_or(0.0, |before| layer.after(before, state));
            before = Some(state);
        }
        value
    }

    /// The token string of the greatest value, layer by layer: for each state of a layer the best
    /// way to get there.
    fn search(&self) -> (Tokens, f64) {
        let mut paths: Vec<(f64, Vec<u16>)> = vec![(0.0, Vec::new()); STATES];
        for (index, layer) in self.layers.iter().enumerate() {
            let way = |state: usize| {
                let state = unpack(state);
                let after = |before: usize| {
                    let pair = if index == 0 { 0.0 } else { layer.after(unpack(before), state) };
                    paths[before].0 + pair
                };
                let best = (0..STATES).max_by(|&a, &b| after(a).total_cmp(&after(b)));
                let best = best.expect("there are states");
                let skips = layer.best_skips(state);
                let value = after(best) + layer.alone(state) + layer.of_skips(state, &skips);
                let mut path = paths[best].1.clone();
                path.extend(state.map(|choice| choice as u16));
                path.extend(skips.into_iter().map(u16::from));
                (value, path)
            };
            paths = (0..STATES).map(way).collect();
        }
        let best = paths.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
        let (value, path) = best.expect("there are states");
        (self.space.tokens(path).expect("a path decides everything"), value)
    }
}

impl Layer {
    fn random(stream: &mut Philox, index: usize) -> Layer {
        let mut draw = |deviation: f64| deviation * normal(stream);
        let mut row = |deviation: f64| std::array::from_fn(|_| draw(deviation));
        Layer {
            single: std::array::from_fn(|_| row(1.0)),
            height_and_width: std::array::from_fn(|_| row(0.7)),
            filters_after: std::array::from_fn(|_| row(0.7)),
            height_after: std::array::from_fn(|_| row(0.7)),
            skips: (0..index).map(|_| row(0.6)).collect(),
            preferred: index as f64 / 3.0,
        }
    }

    fn alone(&self, [height, width, filters]: State) -> f64 {
        let [heights, widths, all_filters] = &self.single;
        heights[height]
            + widths[width]
            + all_filters[filters]
            + self.height_and_width[height][width]
    }

    fn after(&self, before: State, [height, _, filters]: State) -> f64 {
        self.height_after[before[0]][height] + self.filters_after[before[2]][filters]
    }

    fn of_skips(&self, [_, _, filters]: State, skips: &[bool]) -> f64 {
        let chosen = self.skips.iter().zip(skips).filter(|(_, skip)| **skip);
        let (count, sum) =
            chosen.fold((0.0, 0.0), |(count, sum), (g, _)| (count + 1.0, sum + g[filters]));
        sum - 0.3 * (count - self.preferred).powi(2)
    }

    /// For every number of skips the greatest ones are best.
    fn best_skips(&self, state: State) -> Vec<bool> {
        let mut order: Vec<usize> = (0..self.skips.len()).collect();
        order.sort_by(|&a, &b| self.skips[b][state[2]].total_cmp(&self.skips[a][state[2]]));
        let with = |count: usize| {
            let mut skips = vec![false; order.len()];
            order[..count].iter().for_each(|&source| skips[source] = true);
            skips
        };
        let all = (0..=order.len()).map(with);
        let value = |skips: &Vec<bool>| self.of_skips(state, skips);
        all.max_by(|a, b| value(a).total_cmp(&value(b))).expect("no skips are a way")
    }
}

fn unpack(state: usize) -> State {
    [state / (VALUES * VALUES), state / VALUES % VALUES, state % VALUES]
}

/// A standard normal number (Box and Muller 1958).
fn normal(stream: &mut Philox) -> f64 {
    let radius = (-2.0 * (1.0 - f64::from(stream.uniform())).ln()).sqrt();
    radius * (std::f64::consts::TAU * f64::from(stream.uniform())).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hill climbing from everywhere never gets above the optimum, and gets there.
    #[test]
    fn no_token_string_is_better_than_the_best() {
        let landscape = Landscape::new(6, 1);
        assert_eq!(landscape.accuracy(landscape.best()), BEST);
        let mut stream = Philox::new(Key::new(2, 0, "climb"));
        let mut reached: f64 = 0.0;
        for _ in 0..40 {
            let mut tokens = landscape.space().sample(&mut stream);
            while let Some(better) = step_up(&landscape, &tokens) {
                tokens = better;
            }
            assert!(landscape.value(&tokens) <= landscape.best.1 + 1e-9);
            reached = reached.max(landscape.accuracy(&tokens));
        }
        assert!(reached > 0.94, "{reached}");
    }

    /// The best of all token strings that differ in one or two tokens, if it is better.
    fn step_up(landscape: &Landscape, tokens: &Tokens) -> Option<Tokens> {
        let changed = |indices: &[u16]| {
            let mut all = Vec::new();
            for (position, decision) in landscape.space().decisions().iter().enumerate() {
                for value in 0..decision.values().len() as u16 {
                    let mut other = indices.to_vec();
                    other[position] = value;
                    all.push(other);
                }
            }
            all
        };
        let near = changed(tokens.as_slice());
        let all = near.iter().flat_map(|one| changed(one));
        let all = all.map(|indices| landscape.space().tokens(indices).unwrap());
        let best = all.max_by(|a, b| landscape.value(a).total_cmp(&landscape.value(b)))?;
        (landscape.value(&best) > landscape.value(tokens) + 1e-9).then_some(best)
    }

    #[test]
    fn noise_is_repeatable_and_small() {
        let landscape = Landscape::new(6, 1);
        let measured = |run, trial| landscape.measured(landscape.best(), run, trial);
        assert_eq!(measured(3, 4), measured(3, 4));
        assert_ne!(measured(3, 4), measured(4, 4));
        let all: Vec<f64> = (0..2000).map(|trial| measured(0, trial) - BEST).collect();
        let mean = all.iter().sum::<f64>() / 2000.0;
        let deviation = (all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2000.0).sqrt();
        assert!(mean.abs() < 5e-4 && (deviation - NOISE).abs() < 5e-4, "{mean} {deviation}");
    }
}
