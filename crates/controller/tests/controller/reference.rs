//! The policy as nested loops in f64.

use std::collections::HashMap;
use std::ops::Range;

use nasrl_controller::{Config, Sharing};
use nasrl_space::{Space, Step};

/// Shapes of the policy of a space; parameters come as [`nasrl_controller::Policy::parameters`]
/// lists them, one after the other.
pub(crate) struct Reference {
    config: Config,
    space: Space,
    /// The row of embeddings that the step after each step reads, of its first value.
    first_rows: Vec<usize>,
    rows: usize,
}

impl Reference {
    pub(crate) fn new(space: &Space, config: &Config) -> Self {
        let (mut rows, mut tables, mut first_rows) = (1, HashMap::new(), vec![]);
        for step in &space.steps()[..space.steps().len() - 1] {
            let (what, count) = match step {
                Step::Choice { decision } => {
                    let decision = &space.decisions()[*decision];
                    let values = decision.values();
                    (format!("{} of {values:?}", decision.kind()), values.len())
                }
                Step::Anchor { .. } => (String::new(), 1),
            };
            let known = tables.get(&what).filter(|_| config.embedding_sharing == Sharing::Kind);
            first_rows.push(*known.unwrap_or(&rows));
            if known.is_none() {
                tables.insert(what, rows);
                rows += count;
            }
        }
        Reference { config: config.clone(), space: space.clone(), first_rows, rows }
    }

    /// Log-probability and summed entropy of a token string.
    pub(crate) fn score(&self, parameters: &[f64], tokens: &[u16]) -> (f64, f64) {
        let distributions = self.distributions(parameters, tokens);
        let chosen = distributions.iter().zip(tokens).map(|(p, &token)| p[token as usize].ln());
        let entropy = distributions.iter().flatten().filter(|p| **p > 0.0).map(|p| -p * p.ln());
        (chosen.sum(), entropy.sum())
    }

    /// Each decision's distribution after the tokens before it; certainty of the first value for a
    /// decision that is not made.
    pub(crate) fn distributions(&self, parameters: &[f64], tokens: &[u16]) -> Vec<Vec<f64>> {
        let Config { layers, units, embedding, .. } = self.config;
        let mut rest = parameters;
        let mut matrix = |rows: usize, columns: usize| {
            let (matrix, after) = rest.split_at(rows * columns);
            rest = after;
            move |row: usize, column: usize| matrix[row * columns + column]
        };
        let table = matrix(self.rows, embedding);
        let mut lstm = vec![];
        for layer in 0..layers {
            let inputs = if layer == 0 { embedding } else { units };
            lstm.push([matrix(inputs, 4 * units), matrix(units, 4 * units), matrix(1, 4 * units)]);
        }
        let mut heads = HashMap::new();
        for step in self.space.steps() {
            if let Step::Choice { decision } = step {
                let count = self.space.decisions()[*decision].values().len();
                heads.insert(*decision, (count, matrix(units, count), matrix(1, count)));
            }
        }
        let is_anchor = |step: &Step| matches!(step, Step::Anchor { .. });
        let anchor = self.space.steps().iter().any(is_anchor).then(|| {
            let previous = matrix(units, units);
            (previous, matrix(units, units), matrix(1, units), matrix(units, 4 * units))
        });
        assert!(rest.is_empty(), "parameters left over");

        let mut h = vec![vec![0.0; units]; layers];
        let mut c = h.clone();
        let mut row = 0;
        let mut mean = vec![0.0; units];
        let mut anchors: Vec<Vec<f64>> = vec![];
        let mut distributions = vec![];
        for (number, step) in self.space.steps().iter().enumerate() {
            if places(step).end > tokens.len() {
                break;
            }
            let mut x: Vec<f64> = (0..embedding).map(|column| table(row, column)).collect();
            for (layer, [input, recurrent, bias]) in lstm.iter().enumerate() {
                let gates: Vec<f64> = (0..4 * units)
                    .map(|gate| {
                        let mut sum = bias(0, gate);
                        for (i, x) in x.iter().enumerate() {
                            sum += x * input(i, gate);
                        }
                        for (i, h) in h[layer].iter().enumerate() {
                            sum += h * recurrent(i, gate);
                        }
                        if let (0, Some((.., input))) = (layer, &anchor) {
                            for (i, mean) in mean.iter().enumerate() {
                                sum += mean * input(i, gate);
                            }
                        }
                        sum
                    })
                    .collect();
                for unit in 0..units {
                    let gate = |index: usize| gates[index * units + unit];
                    let kept = sigmoid(gate(1)) * c[layer][unit];
                    c[layer][unit] = kept + sigmoid(gate(0)) * gate(2).tanh();
                    h[layer][unit] = sigmoid(gate(3)) * c[layer][unit].tanh();
                }
                x.clone_from(&h[layer]);
            }
            row = self.first_rows.get(number).copied().unwrap_or(0);
            mean.fill(0.0);
            match step {
                Step::Choice { decision } => {
                    let (count, weight, bias) = &heads[decision];
                    let logit = |choice: usize| {
                        let products =
                            x.iter().enumerate().map(|(unit, x)| x * weight(unit, choice));
                        bias(0, choice) + products.sum::<f64>()
                    };
                    let made = self.space.is_made(*decision, tokens);
                    let exponential = |choice: usize| match made {
                        true => logit(choice).exp(),
                        false => f64::from(choice == 0),
                    };
                    let exponentials: Vec<f64> = (0..*count).map(exponential).collect();
                    let sum: f64 = exponentials.iter().sum();
                    distributions.push(exponentials.iter().map(|e| e / sum).collect());
                    row += usize::from(tokens[*decision]);
                }
                Step::Anchor { decisions } => {
                    let (previous, current, v, _) = anchor.as_ref().expect("there are anchors");
                    for earlier in &anchors {
                        let mut logit = 0.0;
                        for unit in 0..units {
                            let mut sum = 0.0;
                            for i in 0..units {
                                sum += earlier[i] * previous(i, unit) + x[i] * current(i, unit);
                            }
                            logit += v(0, unit) * sum.tanh();
                        }
                        distributions.push(vec![sigmoid(-logit), sigmoid(logit)]);
                    }
                    let bits = &tokens[decisions.clone()];
                    let chosen: Vec<_> =
                        anchors.iter().zip(bits).filter(|(_, bit)| **bit == 1).collect();
                    for (h, _) in &chosen {
                        for unit in 0..units {
                            mean[unit] += h[unit] / chosen.len() as f64;
                        }
                    }
                    anchors.push(x);
                }
            }
        }
        distributions
    }
}

fn places(step: &Step) -> Range<usize> {
    match step {
        Step::Choice { decision } => *decision..decision + 1,
        Step::Anchor { decisions } => decisions.clone(),
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
