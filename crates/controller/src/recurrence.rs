//! The LSTM over the steps, forward and backward, on buffers.
//!
//! Each step has buffers of its own, so that one pass serves sampling, where a step's token is
//! drawn from its logits, and training, where it is given. The gradients of weights add up over the
//! steps. What a token contributes to the first layer's gates, `embedding W + bias`, is a row of a
//! table that is computed once a change of the parameters; its gradient is gathered in the same
//! table, and becomes those of embeddings, weights and bias by one product each.

use std::mem;

use nasrl_tensor::ops::{
    Embedding, LstmCell, LstmGradientInputs, LstmGradients, LstmInputs, LstmOutputs, Matmul,
    Operand, PolicyWeights, Rows, Sum,
};
use nasrl_tensor::{Backend, DType, Result};

use crate::parameters::{EMBEDDING, Network, Parameters};

/// Buffers for some sequences side by side.
pub(crate) struct Recurrence<B: Backend> {
    backend: B,
    network: Network,
    capacity: usize,
    /// `embedding W + bias` of every row, `[rows, 4 units]`.
    table: B::Buffer,
    table_product: B::Buffer,
    table_gradient: B::Buffer,
    /// What every layer starts from, `[capacity, units]`.
    start: B::Buffer,
    pub(crate) steps: Vec<StepBuffers<B>>,
    layers: Vec<LayerGradients<B>>,
    dgates: B::Buffer,
    /// Weights of log-probabilities and entropies, `[capacity]`.
    pub(crate) weights: [B::Buffer; 2],
}

/// What one step leaves behind for the backward pass.
pub(crate) struct StepBuffers<B: Backend> {
    /// The row of the table that the step reads, `[capacity]`.
    pub(crate) row: B::Buffer,
    /// The index of the value that it chooses, `[capacity]`.
    pub(crate) choice: B::Buffer,
    /// `[capacity, choices]`.
    pub(crate) logits: B::Buffer,
    layers: Vec<LayerBuffers<B>>,
    product: B::Buffer,
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
        let indices = || backend.zeros(DType::U32, capacity);
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
        let step = |choices: usize| {
            Ok(StepBuffers {
                row: indices()?,
                choice: indices()?,
                logits: floats(capacity * choices)?,
                layers: (0..layers).map(layer).collect::<Result<_>>()?,
                product: floats(capacity * choices)?,
            })
        };
        let gradients = |_| Ok(LayerGradients { dh: state()?, dh_before: state()?, dc: state()? });
        Ok(Recurrence {
            backend: backend.clone(),
            capacity,
            table: floats(rows * 4 * units)?,
            table_product: floats(rows * 4 * units)?,
            table_gradient: floats(rows * 4 * units)?,
            start: state()?,
            steps: network.steps.iter().map(|shape| step(shape.choices)).collect::<Result<_>>()?,
            layers: (0..layers).map(gradients).collect::<Result<_>>()?,
            dgates: gates()?,
            weights: [floats(capacity)?, floats(capacity)?],
            network: network.clone(),
        })
    }

    /// How many sequences fit.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
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

    /// Computes the logits of a step for `count` sequences from the rows that it reads.
    pub(crate) fn forward(
        &mut self,
        parameters: &[B::Buffer],
        step: usize,
        count: usize,
    ) -> Result<()> {
        let (backend, network, units) = (&self.backend, &self.network, self.network.units);
        let (earlier, current) = self.steps.split_at_mut(step);
        let current = &mut current[0];
        let gates = Rows { count, channels: 4 * units };
        for layer in 0..network.layers {
            let (below, here) = current.layers.split_at_mut(layer);
            let here = &mut here[0];
            match below.last() {
                None => backend.embedding(
                    &Embedding { count, width: 4 * units },
                    &self.table,
                    &current.row,
                    &mut here.projection,
                )?,
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
        let choices = network.steps[step].choices;
        let h = &current.layers[network.layers - 1].h;
        let product = plain(count, choices, units);
        let head = &parameters[network.head(step)];
        backend.matmul(&product, h, head, Sum::Store, &mut current.product)?;
        let rows = Rows { count, channels: choices };
        let bias = &parameters[network.head_bias(step)];
        backend.bias(rows, &current.product, bias, None, &mut current.logits)
    }

    /// Computes the gradients of `sum_r (w[r] log p[r] + v[r] H[r])` over all steps of `count`
    /// sequences whose forward pass was done, with `w` and `v` in [`Recurrence::weights`].
    pub(crate) fn backward(&mut self, parameters: &mut Parameters<B>, count: usize) -> Result<()> {
        let Network { layers, units, embedding, rows, .. } = self.network;
        let Parameters { values, gradients, .. } = parameters;
        let (backend, network) = (&self.backend, &self.network);
        let gates = Rows { count, channels: 4 * units };
        for layer in 0..layers {
            let LayerGradients { dh, dc, .. } = &mut self.layers[layer];
            backend.clear(count * units, dh)?;
            backend.clear(count * units, dc)?;
            backend.clear(4 * units * units, &mut gradients[network.recurrent(layer)])?;
            if layer > 0 {
                backend.clear(4 * units * units, &mut gradients[network.input(layer)])?;
                backend.clear(4 * units, &mut gradients[network.bias(layer)])?;
            }
        }
        backend.clear(rows * 4 * units, &mut self.table_gradient)?;
        for step in (0..self.steps.len()).rev() {
            let (earlier, current) = self.steps.split_at_mut(step);
            let current = &mut current[0];
            let choices = Rows { count, channels: network.steps[step].choices };
            let [log_probability, entropy] = &self.weights;
            // The product was only a stage of the logits, so that it can hold their gradient.
            let dlogits = &mut current.product;
            backend.categorical_backward(
                choices,
                &current.logits,
                &current.choice,
                PolicyWeights { log_probability, entropy },
                dlogits,
            )?;
            let top = layers - 1;
            let (head, bias) = (network.head(step), network.head_bias(step));
            backend.matmul(
                &left_transposed(units, choices.channels, count),
                &current.layers[top].h,
                dlogits,
                Sum::Store,
                &mut gradients[head],
            )?;
            backend.bias_backward(choices, dlogits, Sum::Store, &mut gradients[bias])?;
            backend.matmul(
                &right_transposed(count, units, choices.channels),
                dlogits,
                &values[head],
                Sum::Add,
                &mut self.layers[top].dh,
            )?;
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
                        recurrent: &values[recurrent],
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
                        &mut gradients[recurrent],
                    )?;
                }
                if layer == 0 {
                    backend.embedding_backward(
                        &Embedding { count, width: 4 * units },
                        &current.row,
                        &self.dgates,
                        &mut self.table_gradient,
                    )?;
                    continue;
                }
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

/// `[m, k] [k, n]`.
fn plain(m: usize, n: usize, k: usize) -> Matmul {
    Matmul { m, n, k, a: Operand::Plain, b: Operand::Plain }
}

/// `[k, m]^T [k, n]`.
fn left_transposed(m: usize, n: usize, k: usize) -> Matmul {
    Matmul { a: Operand::Transposed, ..plain(m, n, k) }
}

/// `[m, k] [n, k]^T`.
fn right_transposed(m: usize, n: usize, k: usize) -> Matmul {
    Matmul { b: Operand::Transposed, ..plain(m, n, k) }
}
