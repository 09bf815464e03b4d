//! The policy as nested loops in f64.

use std::collections::HashMap;

use nasrl_controller::{Config, Sharing};
use nasrl_space::Space;

/// Shapes of the policy of a space; parameters come as [`nasrl_controller::Policy::parameters`]
/// lists them, one after the other.
pub(crate) struct Reference {
    config: Config,
    choices: Vec<usize>,
    first_rows: Vec<usize>,
    rows: usize,
}

impl Reference {
    pub(crate) fn new(space: &Space, config: &Config) -> Self {
        let choices: Vec<usize> =
            space.decisions().iter().map(|decision| decision.values().len()).collect();
        let (mut rows, mut tables, mut first_rows) = (1, HashMap::new(), vec![]);
        for count in &choices[..choices.len() - 1] {
            let known = tables.get(count).filter(|_| config.embedding_sharing == Sharing::Kind);
            first_rows.push(*known.unwrap_or(&rows));
            if known.is_none() {
                tables.insert(*count, rows);
                rows += count;
            }
        }
        Reference { config: config.clone(), choices, first_rows, rows }
    }

    /// Log-probability and summed entropy of a token string.
    pub(crate) fn score(&self, parameters: &[f64], tokens: &[u16]) -> (f64, f64) {
        let distributions = self.distributions(parameters, tokens);
        let chosen = distributions.iter().zip(tokens).map(|(p, &token)| p[token as usize].ln());
        let entropy = distributions.iter().flatten().map(|p| -p * p.ln());
        (chosen.sum(), entropy.sum())
    }

    /// Each decision's distribution after the tokens before it.
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
        let heads: Vec<_> =
            self.choices.iter().map(|&count| [matrix(units, count), matrix(1, count)]).collect();
        assert!(rest.is_empty(), "parameters left over");

        let mut h = vec![vec![0.0; units]; layers];
        let mut c = h.clone();
        let mut row = 0;
        let mut distributions = vec![];
        for (step, &count) in self.choices.iter().enumerate() {
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
            let [weight, bias] = &heads[step];
            let logit = |choice: usize| {
                let products = x.iter().enumerate().map(|(unit, x)| x * weight(unit, choice));
                bias(0, choice) + products.sum::<f64>()
            };
            let exponentials: Vec<f64> = (0..count).map(|choice| logit(choice).exp()).collect();
            let sum: f64 = exponentials.iter().sum();
            distributions.push(exponentials.iter().map(|e| e / sum).collect());
            if let Some(first_row) = self.first_rows.get(step) {
                row = first_row + usize::from(tokens[step]);
            }
        }
        distributions
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
