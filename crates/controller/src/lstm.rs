//! The LSTM over the steps, forward and backward, on buffers.
//!
//! Each step has buffers of its own for the backward pass. The gradients of weights add up over the
//! steps. What a token contributes to the first layer's gates, `embedding W + bias`, is a row of a
//! table that is computed once a change of the parameters; its gradient is gathered in the same
//! table, and becomes those of embeddings, weights and bias by one product each.

use std::mem;

use nasrl_tensor::ops::{
    Embedding, LstmCell, LstmGradientInputs, LstmGradients, LstmInputs, LstmOutputs, Rows, Sum,
};
use nasrl_tensor::{Backend, DType, Result};

use crate::parameters::{EMBEDDING, Network, Parameters};
use crate::products::{left_transposed, plain, right_transposed};

/// The layers, for some sequences side by side.
pub(crate) struct Lstm<B: Backend> {
    backend: B,
    network: Network,
    /// `embedding W + bias` of every row, `[rows, 4 units]`.
    table: B::Buffer,
    table_product: B::Buffer,
    table_gradient: B::Buffer,
    /// What every layer starts from, `[capacity, units]`.
    start: B::Buffer,
    steps: Vec<StepBuffers<B>>,
    layers: Vec<LayerGradients<B>>,
    dgates: B::Buffer,
}

/// What one step leaves behind for the backward pass.
struct StepBuffers<B: Backend> {
    /// The row of the table that the step reads, `[capacity]`.
    row: B::Buffer,
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

impl<B: Backend> Lstm<B> {
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
                layers: (0..layers).map(layer).collect::<Result<_>>()?,
            })
        };
        let gradients = |_| Ok(LayerGradients { dh: state()?, dh_before: state()?, dc: state()? });
        Ok(Lstm {
            backend: backend.clone(),
            table: floats(rows * 4 * units)?,
            table_product: floats(rows * 4 * units)?,
            table_gradient: floats(rows * 4 * units)?,
            start: state()?,
            steps: (0..network.steps.len()).map(step).collect::<Result<_>>()?,
            layers: (0..layers).map(gradients).collect::<Result<_>>()?,
            dgates: gates()?,
            network: network.clone(),
        })
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

    /// Makes a step read these rows of the table, one for each sequence.
    pub(crate) fn read(&mut self, step: usize, rows: &[u32]) -> Result<()> {
        self.backend.write(rows, &mut self.steps[step].row)
    }

    /// Begins a step: returns what its layer 0 starts from, `[count, 4 units]`, for
    /// [`Lstm::forward`] to go on from.
    pub(crate) fn embed(&mut self, step: usize, count: usize) -> Result<&mut B::Buffer> {
        let StepBuffers { row, layers } = &mut self.steps[step];
        let (look_up, projection) =
            (Embedding { count, width: 4 * self.network.units }, &mut layers[0].projection);
        self.backend.embedding(&look_up, &self.table, row, projection)?;
        Ok(projection)
    }

    /// Computes the states of a step of `count` sequences; returns the last layer's hidden one,
    /// `[count, units]`.
    pub(crate) fn forward(
        &mut self,
        parameters: &[B::Buffer],
        step: usize,
        count: usize,
    ) -> Result<&B::Buffer> {
        let (backend, network, units) = (&self.backend, &self.network, self.network.units);
        let (earlier, current) = self.steps.split_at_mut(step);
        let current = &mut current[0];
        let gates = Rows { count, channels: 4 * units };
        for layer in 0..network.layers {
            let (below, here) = current.layers.split_at_mut(layer);
            let here = &mut here[0];
            if let Some(below) = below.last() {
                let weights = &parameters[network.input(layer)];
                let product = plain(count, 4 * units, units);
                backend.matmul(&product, &below.h, weights, Sum::Store, &mut here.product)?;
                let bias = &parameters[network.bias(layer)];
                backend.bias(gates, &here.product, bias, None, &mut here.projection)?;
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
        Ok(&current.layers[network.layers - 1].h)
    }

    /// Starts the backward pass of `count` sequences.
    pub(crate) fn clear(&mut self, parameters: &mut Parameters<B>, count: usize) -> Result<()> {
        let Network { layers, units, rows, .. } = self.network;
        let (backend, network, gradients) =
            (&self.backend, &self.network, &mut parameters.gradients);
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
        backend.clear(rows * 4 * units, &mut self.table_gradient)
    }

    /// The last layer's hidden state after a step, and its gradient as far as it came from later
    /// steps, for the step's decisions to add theirs.
    pub(crate) fn top(&mut self, step: usize) -> (&B::Buffer, &mut B::Buffer) {
        let top = self.network.layers - 1;
        (&self.steps[step].layers[top].h, &mut self.layers[top].dh)
    }

    /// The gradients of a step, after those of all later ones; returns that of what its layer 0
    /// started from, `[count, 4 units]`.
    pub(crate) fn backward(
        &mut self,
        parameters: &mut Parameters<B>,
        step: usize,
        count: usize,
    ) -> Result<&B::Buffer> {
        let (backend, network, units) = (&self.backend, &self.network, self.network.units);
        let Parameters { values, gradients, .. } = parameters;
        let (earlier, current) = self.steps.split_at_mut(step);
        let current = &mut current[0];
        let gates = Rows { count, channels: 4 * units };
        for layer in (0..network.layers).rev() {
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
                let look_up = Embedding { count, width: 4 * units };
                let into = &mut self.table_gradient;
                backend.embedding_backward(&look_up, &current.row, &self.dgates, into)?;
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
        Ok(&self.dgates)
    }

    /// Ends the backward pass: from the gradient of the table to those of what it is made of.
    pub(crate) fn finish(&self, parameters: &mut Parameters<B>) -> Result<()> {
        let Network { units, embedding, rows, .. } = self.network;
        let Parameters { values, gradients, .. } = parameters;
        let (input, bias) = (self.network.input(0), self.network.bias(0));
        self.backend.matmul(
            &right_transposed(rows, embedding, 4 * units),
            &self.table_gradient,
            &values[input],
            Sum::Store,
            &mut gradients[EMBEDDING],
        )?;
        self.backend.matmul(
            &left_transposed(embedding, 4 * units, rows),
            &values[EMBEDDING],
            &self.table_gradient,
            Sum::Store,
            &mut gradients[input],
        )?;
        let rows = Rows { count: rows, channels: 4 * units };
        self.backend.bias_backward(rows, &self.table_gradient, Sum::Store, &mut gradients[bias])
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
