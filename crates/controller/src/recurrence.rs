//! The LSTM over the steps, forward and backward, on buffers.
//!
//! Each step has buffers of its own, so that one pass serves sampling, where a step's choices are
//! drawn from its logits, and training, where they are given. The gradients of weights add up over
//! the steps. What a token contributes to the first layer's gates, `embedding W + bias`, is a row of
//! a table that is computed once a change of the parameters; its gradient is gathered in the same
//! table, and becomes those of embeddings, weights and bias by one product each.
//!
//! Sequences go through the steps side by side, also where one of them has ended or makes no choice
//! that others make: it is idle there, which means that its choice is 0 and has no weight.

use std::mem;

use nasrl_tensor::ops::{
    Embedding, LstmCell, LstmGradientInputs, LstmGradients, LstmInputs, LstmOutputs, PolicyWeights,
    RowDraw, Rows, Sum,
};
use nasrl_tensor::{Backend, DType, Result};

use crate::anchors::Anchors;
use crate::head::Head;
use crate::parameters::{EMBEDDING, Kind, Network, Parameters};
use crate::products::{left_transposed, plain, right_transposed};
use crate::weights::Weights;

/// Buffers for some sequences side by side.
pub(crate) struct Recurrence<B: Backend> {
    backend: B,
    network: Network,
    capacity: usize,
    /// Sequences and steps of the pass under way.
    count: usize,
    length: usize,
    /// `embedding W + bias` of every row, `[rows, 4 units]`.
    table: B::Buffer,
    table_product: B::Buffer,
    table_gradient: B::Buffer,
    /// What every layer starts from, `[capacity, units]`.
    start: B::Buffer,
    steps: Vec<StepBuffers<B>>,
    heads: Vec<Head<B>>,
    anchors: Anchors<B>,
    layers: Vec<LayerGradients<B>>,
    dgates: B::Buffer,
    weights: Weights<B>,
    /// Log-probabilities and entropies of a step, `[capacity]`.
    scores: [B::Buffer; 2],
}

/// What the gradient of a step's decisions starts from, and where it goes.
pub(crate) struct Decided<'a, B: Backend> {
    /// Sequences side by side.
    pub(crate) count: usize,
    /// The hidden states that the decisions were made from, `[count, units]`.
    pub(crate) h: &'a B::Buffer,
    /// Of log-probabilities and entropies.
    pub(crate) weights: PolicyWeights<'a, B::Buffer>,
    /// The gradient of the hidden states, added to.
    pub(crate) dh: &'a mut B::Buffer,
}

/// What one step leaves behind for the backward pass, apart from its decisions.
struct StepBuffers<B: Backend> {
    /// The row of the table that the step reads, `[capacity]`.
    row: B::Buffer,
    /// The sequences that decide nothing.
    idle: Vec<usize>,
    layers: Vec<LayerBuffers<B>>,
}

struct LayerBuffers<B: Backend> {
    product: B::Buffer,
    projection: B::Buffer,
    gates: B::Buffer,
    h: B::Buffer,
    c: B::Buffer,
}

struct LayerGradients<B: Backend> {
    dh: B::Buffer,
    dh_before: B::Buffer,
    dc: B::Buffer,
}

impl<B: Backend> Recurrence<B> {
    pub(crate) fn new(backend: &B, network: &Network, capacity: usize) -> Result<Self> {
        let Network { layers, units, rows, .. } = *network;
        let floats = |count: usize| backend.zeros(DType::F32, count);
        let state = || floats(capacity * units);
        let gates = || floats(capacity * 4 * units);
        let layer = |layer: usize| {
            let product = if layer == 0 { floats(0) } else { gates() };
            Ok(LayerBuffers {
                product: product?,
                projection: gates()?,
                gates: gates()?,
                h: state()?,
                c: state()?,
            })
        };
        let step = |_| {
            Ok(StepBuffers {
                row: backend.zeros(DType::U32, capacity)?,
                idle: vec![],
                layers: (0..layers).map(layer).collect::<Result<_>>()?,
            })
        };
        let head = |kind| match kind {
            Kind::Choice { head, values } => {
                Some(Head::new(backend, network, head, values, capacity))
            }
            Kind::Anchor { .. } => None,
        };
        let gradients = |_| Ok(LayerGradients { dh: state()?, dh_before: state()?, dc: state()? });
        let kinds = network.steps.iter().map(|step| step.kind);
        Ok(Recurrence {
            backend: backend.clone(),
            capacity,
            count: 0,
            length: 0,
            table: floats(rows * 4 * units)?,
            table_product: floats(rows * 4 * units)?,
            table_gradient: floats(rows * 4 * units)?,
            start: state()?,
            steps: network.steps.iter().map(step).collect::<Result<_>>()?,
            heads: kinds.filter_map(head).collect::<Result<_>>()?,
            anchors: Anchors::new(backend, network, capacity)?,
            layers: (0..layers).map(gradients).collect::<Result<_>>()?,
            dgates: gates()?,
            weights: Weights::new(backend, capacity)?,
            scores: [floats(capacity)?, floats(capacity)?],
            network: network.clone(),
        })
    }

    /// How many sequences fit.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many steps the pass under way has.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Computes the table; due whenever the parameters have changed.
    pub(crate) fn project(&mut self, parameters: &[B::Buffer]) -> Result<()> {
        let Network { units, embedding, rows, .. } = self.network;
        let product = plain(rows, 4 * units, embedding);
        let (weights, bias) = (self.network.input(0), self.network.bias(0));
        self.backend.matmul(
            &product,
            &parameters[EMBEDDING],
            &parameters[weights],
            Sum::Store,
            &mut self.table_product,
        )?;
        let rows = Rows { count: rows, channels: 4 * units };
        self.backend.bias(rows, &self.table_product, &parameters[bias], None, &mut self.table)
    }

    /// Begins a pass of `count` sequences through the first `length` steps. Each of them is a
    /// [`Recurrence::forward`] and a [`Recurrence::settle`].
    pub(crate) fn begin(&mut self, count: usize, length: usize) -> Result<()> {
        (self.count, self.length) = (count, length);
        self.backend.clear(count, &mut self.steps[0].row)
    }

    /// Computes the logits of a step from what the step before it settled.
    pub(crate) fn forward(&mut self, parameters: &[B::Buffer], step: usize) -> Result<()> {
        let (backend, network, units) = (&self.backend, &self.network, self.network.units);
        let count = self.count;
        let (earlier, current) = self.steps.split_at_mut(step);
        let current = &mut current[0];
        let gates = Rows { count, channels: 4 * units };
        for layer in 0..network.layers {
            let (below, here) = current.layers.split_at_mut(layer);
            let here = &mut here[0];
            match below.last() {
                None => {
                    backend.embedding(
                        &Embedding { count, width: 4 * units },
                        &self.table,
                        &current.row,
                        &mut here.projection,
                    )?;
                    if let Some(anchor) = network.anchor_before(step) {
                        self.anchors.feed(parameters, anchor, count, &mut here.projection)?;
                    }
                }
                Some(below) => {
                    let weights = &parameters[network.input(layer)];
                    let product = plain(count, 4 * units, units);
                    backend.matmul(&product, &below.h, weights, Sum::Store, &mut here.product)?;
                    let bias = &parameters[network.bias(layer)];
                    backend.bias(gates, &here.product, bias, None, &mut here.projection)?;
                }
            }
            let (h, c) = state(earlier, layer, &self.start);
            backend.lstm_cell(
                &LstmCell { batch: count, units },
                LstmInputs {
                    projection: &here.projection,
                    h,
                    c,
                    recurrent: &parameters[network.recurrent(layer)],
                },
                LstmOutputs { gates: &mut here.gates, h: &mut here.h, c: &mut here.c },
            )?;
        }
        let h = &current.layers[network.layers - 1].h;
        match network.steps[step].kind {
            Kind::Choice { head, .. } => self.heads[head].forward(parameters, h, count),
            Kind::Anchor { earlier } => self.anchors.forward(parameters, earlier, h, count),
        }
    }

    /// Draws a step's choices from its logits, `[count, decisions]`.
    pub(crate) fn draw(&mut self, step: usize, draw: RowDraw) -> Result<Vec<u32>> {
        match self.network.steps[step].kind {
            Kind::Choice { head, .. } => self.heads[head].draw(draw, self.count),
            Kind::Anchor { earlier } => self.anchors.draw(earlier, draw, self.count),
        }
    }

    /// Takes a step's choices, `[count, decisions]`, and the sequences that are idle there; the next
    /// step reads them.
    pub(crate) fn settle(&mut self, step: usize, choices: &[u32], idle: Vec<usize>) -> Result<()> {
        let first_row = self.network.steps[step].first_row as u32;
        self.steps[step].idle = idle;
        let rows: Vec<u32> = match self.network.steps[step].kind {
            Kind::Choice { head, .. } => {
                self.heads[head].settle(choices)?;
                choices.iter().map(|choice| first_row + choice).collect()
            }
            Kind::Anchor { earlier } => {
                self.anchors.settle(earlier, choices, self.count)?;
                vec![first_row; self.count]
            }
        };
        match self.steps.get_mut(step + 1) {
            Some(next) => self.backend.write(&rows, &mut next.row),
            None => Ok(()),
        }
    }

    /// For each sequence log-probability of its choices at a step and entropy of the distribution
    /// that they are from; `None` where it is idle.
    pub(crate) fn scores(&mut self, step: usize) -> Result<Vec<Option<[f32; 2]>>> {
        let [p, h] = &mut self.scores;
        match self.network.steps[step].kind {
            Kind::Choice { head, .. } => self.heads[head].score(self.count, [p, h])?,
            Kind::Anchor { earlier } => self.anchors.score(earlier, self.count, [p, h])?,
        }
        let [mut p, mut h] = [(); 2].map(|()| vec![0.0; self.count]);
        self.backend.read(&self.scores[0], &mut p)?;
        self.backend.read(&self.scores[1], &mut h)?;
        let mut scores: Vec<_> = p.into_iter().zip(h).map(|(p, h)| Some([p, h])).collect();
        for sequence in &self.steps[step].idle {
            scores[*sequence] = None;
        }
        Ok(scores)
    }

    /// The logits of a step's decisions in the first sequence; `None` where it is idle.
    pub(crate) fn logits(&self, step: usize) -> Result<Option<Vec<f32>>> {
        if self.steps[step].idle.contains(&0) {
            return Ok(None);
        }
        let logits = match self.network.steps[step].kind {
            Kind::Choice { head, .. } => self.heads[head].logits(),
            Kind::Anchor { earlier } => self.anchors.logits(earlier),
        };
        logits.map(Some)
    }

    /// Computes the gradients of `sum_r (w[r] log p[r] + v[r] H[r])` over all steps of the pass,
    /// with a `w` and a `v` for each sequence.
    pub(crate) fn backward(
        &mut self,
        parameters: &mut Parameters<B>,
        weights: [Vec<f32>; 2],
    ) -> Result<()> {
        let Network { layers, units, embedding, rows, .. } = self.network;
        let (backend, network, count) = (&self.backend, &self.network, self.count);
        let gates = Rows { count, channels: 4 * units };
        self.weights.write(weights)?;
        self.anchors.clear(parameters, count)?;
        for step in &network.steps[self.length..] {
            if let Kind::Choice { head, .. } = step.kind {
                self.heads[head].clear(parameters)?;
            }
        }
        for layer in 0..layers {
            let LayerGradients { dh, dc, .. } = &mut self.layers[layer];
            backend.clear(count * units, dh)?;
            backend.clear(count * units, dc)?;
            let gradients = &mut parameters.gradients;
            backend.clear(4 * units * units, &mut gradients[network.recurrent(layer)])?;
            if layer > 0 {
                backend.clear(4 * units * units, &mut gradients[network.input(layer)])?;
                backend.clear(4 * units, &mut gradients[network.bias(layer)])?;
            }
        }
        backend.clear(rows * 4 * units, &mut self.table_gradient)?;
        for step in (0..self.length).rev() {
            let (earlier, current) = self.steps.split_at_mut(step);
            let current = &mut current[0];
            let top = layers - 1;
            let decided = Decided {
                count,
                h: &current.layers[top].h,
                weights: self.weights.without(&current.idle)?,
                dh: &mut self.layers[top].dh,
            };
            match network.steps[step].kind {
                Kind::Choice { head, .. } => self.heads[head].backward(parameters, decided)?,
                Kind::Anchor { earlier } => self.anchors.backward(parameters, earlier, decided)?,
            }
            for layer in (0..layers).rev() {
                let here = &current.layers[layer];
                let (h_before, c_before) = state(earlier, layer, &self.start);
                let recurrent = network.recurrent(layer);
                let LayerGradients { dh, dh_before, dc } = &mut self.layers[layer];
                backend.lstm_cell_backward(
                    &LstmCell { batch: count, units },
                    LstmGradientInputs {
                        dh,
                        gates: &here.gates,
                        c_before,
                        c: &here.c,
                        recurrent: &parameters.values[recurrent],
                    },
                    LstmGradients { dc, dgates: &mut self.dgates, dh_before },
                )?;
                mem::swap(dh, dh_before);
                if step > 0 {
                    backend.matmul(
                        &left_transposed(units, 4 * units, count),
                        h_before,
                        &self.dgates,
                        Sum::Add,
                        &mut parameters.gradients[recurrent],
                    )?;
                }
                if layer == 0 {
                    backend.embedding_backward(
                        &Embedding { count, width: 4 * units },
                        &current.row,
                        &self.dgates,
                        &mut self.table_gradient,
                    )?;
                    if let Some(anchor) = network.anchor_before(step) {
                        self.anchors.feed_backward(parameters, anchor, count, &self.dgates)?;
                    }
                    continue;
                }
                let Parameters { values, gradients, .. } = &mut *parameters;
                let (input, bias) = (network.input(layer), network.bias(layer));
                backend.matmul(
                    &left_transposed(units, 4 * units, count),
                    &current.layers[layer - 1].h,
                    &self.dgates,
                    Sum::Add,
                    &mut gradients[input],
                )?;
                backend.bias_backward(gates, &self.dgates, Sum::Add, &mut gradients[bias])?;
                backend.matmul(
                    &right_transposed(count, units, 4 * units),
                    &self.dgates,
                    &values[input],
                    Sum::Add,
                    &mut self.layers[layer - 1].dh,
                )?;
            }
        }
        let Parameters { values, gradients, .. } = parameters;
        let (input, bias) = (network.input(0), network.bias(0));
        backend.matmul(
            &right_transposed(rows, embedding, 4 * units),
            &self.table_gradient,
            &values[input],
            Sum::Store,
            &mut gradients[EMBEDDING],
        )?;
        backend.matmul(
            &left_transposed(embedding, 4 * units, rows),
            &values[EMBEDDING],
            &self.table_gradient,
            Sum::Store,
            &mut gradients[input],
        )?;
        let rows = Rows { count: rows, channels: 4 * units };
        backend.bias_backward(rows, &self.table_gradient, Sum::Store, &mut gradients[bias])
    }
}

/// What a layer's step starts from: what the last step left, or zeros.
fn state<'a, B: Backend>(
    earlier: &'a [StepBuffers<B>],
    layer: usize,
    start: &'a B::Buffer,
) -> (&'a B::Buffer, &'a B::Buffer) {
    match earlier.last() {
        Some(before) => (&before.layers[layer].h, &before.layers[layer].c),
        None => (start, start),
    }
}
