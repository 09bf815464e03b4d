//! The policy's parameters: what there is, where it stands, how it starts.

use std::collections::HashMap;
use std::ops::Range;

use nasrl_space::{self as space, Space};
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
    /// Steps that end in a softmax head.
    pub(crate) heads: usize,
    /// Steps that are anchor points.
    pub(crate) anchors: usize,
    /// Those of the space, in its order.
    pub(crate) steps: Vec<Step>,
}

/// A step of the policy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// The places of its decisions among the space's.
    pub(crate) decisions: Range<usize>,
    pub(crate) kind: Kind,
    /// The row that the next step reads, for a choice that of the first value; 0 for the last step.
    pub(crate) first_row: usize,
}

/// How a step decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// One decision, with a softmax head of its own.
    Choice {
        /// Which head.
        head: usize,
        /// How many values the decision has.
        values: usize,
    },
    /// A bit for each earlier anchor.
    Anchor {
        /// How many there are.
        earlier: usize,
    },
}

/// Parameters, their gradients and their names, in one order: the embeddings, three for each LSTM
/// layer, two for each head, and four for the anchors if there are any. All are f32.
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
        let (mut heads, mut anchors) = (0, 0);
        let last = space.steps().len() - 1;
        let step = |(position, step): (usize, &space::Step)| {
            // What is decided, which tells tables apart where they are shared; no decision is
            // without values.
            let (what, step_rows, decisions, kind) = match step {
                space::Step::Choice { decision: place } => {
                    let decision = &decisions[*place];
                    let (kind, values) = (decision.kind(), decision.values());
                    heads += 1;
                    let choice = Kind::Choice { head: heads - 1, values: values.len() };
                    ((kind, values), values.len(), *place..place + 1, choice)
                }
                space::Step::Anchor { decisions } => {
                    anchors += 1;
                    let anchor = Kind::Anchor { earlier: anchors - 1 };
                    (("anchor", [].as_slice()), 1, decisions.clone(), anchor)
                }
            };
            if position == last {
                return Step { decisions, kind, first_row: 0 };
            }
            let own = match config.embedding_sharing {
                Sharing::None => position,
                Sharing::Kind => 0,
            };
            let first_row = *tables.entry((own, what)).or_insert(rows);
            if first_row == rows {
                rows += step_rows;
            }
            Step { decisions, kind, first_row }
        };
        let steps = space.steps().iter().enumerate().map(step).collect();
        let Config { layers, units, embedding, .. } = *config;
        Network { layers, units, embedding, rows, heads, anchors, steps }
    }

    /// The number of the anchor whose choices a step reads, if it is one's.
    pub(crate) fn anchor_before(&self, step: usize) -> Option<usize> {
        match self.steps.get(step.checked_sub(1)?)?.kind {
            Kind::Anchor { earlier } => Some(earlier),
            Kind::Choice { .. } => None,
        }
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

    /// Where a head's weights stand, `[units, values]`.
    pub(crate) fn head(&self, head: usize) -> usize {
        self.input(self.layers) + 2 * head
    }

    /// Where a head's bias stands, `[values]`.
    pub(crate) fn head_bias(&self, head: usize) -> usize {
        self.head(head) + 1
    }

    /// Where the matrix of the anchors' keys stands, `[units, units]`.
    pub(crate) fn anchor_previous(&self) -> usize {
        self.head(self.heads)
    }

    /// Where the matrix of the anchors' queries stands, `[units, units]`.
    pub(crate) fn anchor_current(&self) -> usize {
        self.anchor_previous() + 1
    }

    /// Where the weights of the anchors' tangents stand, `[units]`.
    pub(crate) fn anchor_v(&self) -> usize {
        self.anchor_previous() + 2
    }

    /// Where the weights of what the step after an anchor reads stand, `[units, 4 units]`.
    pub(crate) fn anchor_input(&self) -> usize {
        self.anchor_previous() + 3
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
        for step in &self.steps {
            let Kind::Choice { values, .. } = step.kind else { continue };
            let name = space.decisions()[step.decisions.start].name();
            specs.push(spec(format!("head.{name}.weight"), &[units, values]));
            specs.push(spec(format!("head.{name}.bias"), &[values]));
        }
        if self.anchors > 0 {
            specs.push(spec("anchor.previous".to_owned(), &[units, units]));
            specs.push(spec("anchor.current".to_owned(), &[units, units]));
            specs.push(spec("anchor.v".to_owned(), &[units]));
            specs.push(spec("anchor.input".to_owned(), &[units, 4 * units]));
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

    /// The anchor of the last layer is read by nobody, so that it has no row.
    #[test]
    fn an_anchor_has_a_row_of_its_own_or_that_of_all() {
        let text = r#"
            name = "skips"
            [layers]
            count = 3
            kernel = [1, 3]
            filters = 8
            skips = ["off", "on"]
        "#;
        let space = Space::from_toml(text, "skips").unwrap();
        let network = |preset: Preset| Network::new(&space, &preset.config());
        let rows = |preset| {
            let network = network(preset);
            let firsts: Vec<_> = network.steps.iter().map(|step| step.first_row).collect();
            (network.rows, firsts)
        };
        assert_eq!(rows(Preset::Default), (9, vec![1, 3, 4, 6, 7, 0]));
        assert_eq!(rows(Preset::Paper), (4, vec![1, 3, 1, 3, 1, 0]));
        let network = network(Preset::Default);
        assert_eq!((network.heads, network.anchors), (3, 3));
        let (kind, decisions) = (network.steps[5].kind, network.steps[5].decisions.clone());
        assert_eq!((kind, decisions), (Kind::Anchor { earlier: 2 }, 4..6));
        assert_eq!(network.anchor_before(4), Some(1));
    }
}
