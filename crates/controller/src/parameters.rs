//! The policy's parameters: what there is, where it stands, how it starts.

use std::collections::HashMap;

use nasrl_space::Space;
use nasrl_tensor::random::{Key, Philox};
use nasrl_tensor::{Backend, DType};

use crate::{Config, Result, Sharing};

/// What of a policy's network its space and configuration settle.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Network {
    pub(crate) layers: usize,
    pub(crate) units: usize,
    pub(crate) embedding: usize,
    /// Rows of the table of embeddings; row 0 is what the first step reads.
    pub(crate) rows: usize,
    /// One step a decision.
    pub(crate) steps: Vec<Step>,
}

/// A step of the policy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// How many values the decision has.
    pub(crate) choices: usize,
    /// The row of the first value's embedding; 0 for the last step, whose choice no step reads.
    pub(crate) first_row: usize,
}

/// Parameters, their gradients and their names, in one order: the embeddings, three for each LSTM
/// layer, two for each head. All are f32.
pub(crate) struct Parameters<B: Backend> {
    pub(crate) specs: Vec<Spec>,
    pub(crate) values: Vec<B::Buffer>,
    pub(crate) gradients: Vec<B::Buffer>,
}

/// A parameter's identity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
}

/// Where the embeddings stand among the parameters, `[rows, embedding]`.
pub(crate) const EMBEDDING: usize = 0;

impl Network {
    pub(crate) fn new(space: &Space, config: &Config) -> Self {
        let decisions = space.decisions();
        let mut rows = 1;
        let mut tables = HashMap::new();
        let steps = decisions.iter().enumerate().map(|(position, decision)| {
            let choices = decision.values().len();
            if position + 1 == decisions.len() {
                return Step { choices, first_row: 0 };
            }
            let own = match config.embedding_sharing {
                Sharing::None => position,
                Sharing::Kind => 0,
            };
            let first_row =
                *tables.entry((own, decision.kind(), decision.values())).or_insert(rows);
            if first_row == rows {
                rows += choices;
            }
            Step { choices, first_row }
        });
        let steps = steps.collect();
        let Config { layers, units, embedding, .. } = *config;
        Network { layers, units, embedding, rows, steps }
    }

    /// Where a layer's input weights stand, `[inputs, 4 units]`.
    pub(crate) fn input(&self, layer: usize) -> usize {
        EMBEDDING + 1 + 3 * layer
    }

    /// Where a layer's recurrent weights stand, `[units, 4 units]`.
    pub(crate) fn recurrent(&self, layer: usize) -> usize {
        self.input(layer) + 1
    }

    /// Where a layer's bias stands, `[4 units]`.
    pub(crate) fn bias(&self, layer: usize) -> usize {
        self.input(layer) + 2
    }

    /// Where the weights of a step's head stand, `[units, choices]`.
    pub(crate) fn head(&self, step: usize) -> usize {
        self.input(self.layers) + 2 * step
    }

    /// Where the bias of a step's head stands, `[choices]`.
    pub(crate) fn head_bias(&self, step: usize) -> usize {
        self.head(step) + 1
    }

    fn specs(&self, space: &Space) -> Vec<Spec> {
        let Network { layers, units, embedding, rows, .. } = *self;
        let spec = |name: String, shape: &[usize]| Spec { name, shape: shape.to_vec() };
        let mut specs = vec![spec("embedding".to_owned(), &[rows, embedding])];
        for layer in 0..layers {
            let inputs = if layer == 0 { embedding } else { units };
            specs.push(spec(format!("lstm{layer}.input"), &[inputs, 4 * units]));
            specs.push(spec(format!("lstm{layer}.recurrent"), &[units, 4 * units]));
            specs.push(spec(format!("lstm{layer}.bias"), &[4 * units]));
        }
        for (step, decision) in self.steps.iter().zip(space.decisions()) {
            let name = decision.name();
            specs.push(spec(format!("head.{name}.weight"), &[units, step.choices]));
            specs.push(spec(format!("head.{name}.bias"), &[step.choices]));
        }
        specs
    }
}

impl<B: Backend> Parameters<B> {
    /// Parameters of zeros.
    pub(crate) fn zeros(backend: &B, network: &Network, space: &Space) -> Result<Self> {
        let specs = network.specs(space);
        let zeros = || {
            let each = specs.iter().map(|spec| backend.zeros(DType::F32, spec.count()));
            each.collect::<nasrl_tensor::Result<Vec<_>>>()
        };
        let (values, gradients) = (zeros()?, zeros()?);
        Ok(Parameters { specs, values, gradients })
    }

    /// Draws every parameter anew, uniform in plus or minus its range.
    pub(crate) fn initialise(&mut self, backend: &B, config: &Config, key: Key) -> Result<()> {
        let mut stream = Philox::new(key);
        for (index, (spec, value)) in self.specs.iter().zip(&mut self.values).enumerate() {
            let range = match index {
                EMBEDDING => config.embedding_range,
                _ => config.initial_range,
            };
            let draw = |_| (2.0 * stream.uniform() - 1.0) * range as f32;
            let numbers: Vec<f32> = (0..spec.count()).map(draw).collect();
            backend.write(&numbers, value)?;
        }
        Ok(())
    }
}

impl Spec {
    /// How many numbers it has.
    pub(crate) fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Preset;

    #[test]
    fn tables_of_one_kind_are_shared_on_request() {
        let space = Space::reference();
        let rows = |preset: Preset| {
            let network = Network::new(&space, &preset.config());
            let firsts: Vec<_> = network.steps.iter().map(|step| step.first_row).collect();
            (network.rows, firsts)
        };
        assert_eq!(rows(Preset::Default), (18, vec![1, 3, 6, 8, 11, 13, 16, 0]));
        assert_eq!(rows(Preset::Paper), (6, vec![1, 3, 1, 3, 1, 3, 1, 0]));
    }
}
