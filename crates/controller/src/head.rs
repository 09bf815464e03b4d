//! A softmax head: the distribution of one decision from the hidden state of its step.

use nasrl_tensor::ops::{PolicyWeights, RowDraw, Rows, Sum};
use nasrl_tensor::{Backend, DType, Result};

use crate::parameters::{Network, Parameters};
use crate::products::{left_transposed, plain, right_transposed};

/// A head and what its step leaves behind for the backward pass.
pub(crate) struct Head<B: Backend> {
    backend: B,
    units: usize,
    values: usize,
    /// Where its parameters stand.
    weight: usize,
    bias: usize,
    /// The index of the value that was chosen, `[capacity]`.
    choice: B::Buffer,
    /// `h weight + bias`, `[capacity, values]`.
    logits: B::Buffer,
    product: B::Buffer,
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

impl<B: Backend> Head<B> {
    /// Head number `head`, of a decision of so many values.
    pub(crate) fn new(
        backend: &B,
        network: &Network,
        head: usize,
        values: usize,
        capacity: usize,
    ) -> Result<Self> {
        Ok(Head {
            backend: backend.clone(),
            units: network.units,
            values,
            weight: network.head(head),
            bias: network.head_bias(head),
            choice: backend.zeros(DType::U32, capacity)?,
            logits: backend.zeros(DType::F32, capacity * values)?,
            product: backend.zeros(DType::F32, capacity * values)?,
        })
    }

    /// Computes the logits of `count` sequences from their hidden states `h`.
    pub(crate) fn forward(
        &mut self,
        parameters: &[B::Buffer],
        h: &B::Buffer,
        count: usize,
    ) -> Result<()> {
        let product = plain(count, self.values, self.units);
        self.backend.matmul(
            &product,
            h,
            &parameters[self.weight],
            Sum::Store,
            &mut self.product,
        )?;
        let bias = &parameters[self.bias];
        self.backend.bias(self.rows(count), &self.product, bias, None, &mut self.logits)
    }

    /// Draws a choice for each sequence.
    pub(crate) fn draw(&mut self, draw: RowDraw, count: usize) -> Result<Vec<u32>> {
        let rows = self.rows(count);
        self.backend.categorical_sample(rows, &self.logits, draw, &mut self.choice)?;
        let mut choices = vec![0; count];
        self.backend.read(&self.choice, &mut choices)?;
        Ok(choices)
    }

    /// Takes the choices, one for each sequence.
    pub(crate) fn settle(&mut self, choices: &[u32]) -> Result<()> {
        self.backend.write(choices, &mut self.choice)
    }

    /// Log-probability of the choice and entropy of each sequence.
    pub(crate) fn score(&self, count: usize, [p, h]: [&mut B::Buffer; 2]) -> Result<()> {
        self.backend.categorical_score(self.rows(count), &self.logits, &self.choice, p, h)
    }

    /// The logits of the first sequence.
    pub(crate) fn logits(&self) -> Result<Vec<f32>> {
        let mut logits = vec![0.0; self.values];
        self.backend.read(&self.logits, &mut logits)?;
        Ok(logits)
    }

    /// The gradients of the head's parameters, stored, and of the hidden states, added.
    pub(crate) fn backward(
        &mut self,
        parameters: &mut Parameters<B>,
        decided: Decided<'_, B>,
    ) -> Result<()> {
        let Decided { count, h, weights, dh } = decided;
        let (backend, rows) = (&self.backend, self.rows(count));
        let Parameters { values, gradients, .. } = parameters;
        // The product was only a stage of the logits, so that it can hold their gradient.
        let dlogits = &mut self.product;
        backend.categorical_backward(rows, &self.logits, &self.choice, weights, dlogits)?;
        let product = left_transposed(self.units, self.values, count);
        backend.matmul(&product, h, dlogits, Sum::Store, &mut gradients[self.weight])?;
        backend.bias_backward(rows, dlogits, Sum::Store, &mut gradients[self.bias])?;
        let product = right_transposed(count, self.units, self.values);
        backend.matmul(&product, dlogits, &values[self.weight], Sum::Add, dh)
    }

    /// Sets the gradients of the head's parameters to zero: its step was not run.
    pub(crate) fn clear(&self, parameters: &mut Parameters<B>) -> Result<()> {
        let gradients = &mut parameters.gradients;
        self.backend.clear(self.units * self.values, &mut gradients[self.weight])?;
        self.backend.clear(self.values, &mut gradients[self.bias])
    }

    fn rows(&self, count: usize) -> Rows {
        Rows { count, channels: self.values }
    }
}
