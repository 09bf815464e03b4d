//! The policy's network over the steps of some sequences: the LSTM, and the heads and anchors that
//! decide from its hidden states.
//!
//! One pass serves sampling, where a step's choices are drawn from its logits, and training, where
//! they are given. Sequences go through the steps side by side, also where one of them has ended or
//! does not make a decision that others make: it is idle there, which means that its choices are 0
//! and have no weight.

use nasrl_tensor::ops::RowDraw;
use nasrl_tensor::{Backend, DType, Result};

use crate::Score;
use crate::anchors::Anchors;
use crate::head::{Decided, Head};
use crate::lstm::Lstm;
use crate::parameters::{Kind, Network, Parameters};
use crate::weights::Weights;

/// Buffers for some sequences side by side.
pub(crate) struct Recurrence<B: Backend> {
    backend: B,
    network: Network,
    capacity: usize,
    /// Sequences and steps of the pass under way.
    count: usize,
    length: usize,
    lstm: Lstm<B>,
    heads: Vec<Head<B>>,
    anchors: Anchors<B>,
    /// The sequences that decide nothing at a step.
    idle: Vec<Vec<usize>>,
    weights: Weights<B>,
    /// Log-probabilities and entropies of a step, `[capacity]`.
    scores: [B::Buffer; 2],
}

impl<B: Backend> Recurrence<B> {
    pub(crate) fn new(backend: &B, network: &Network, capacity: usize) -> Result<Self> {
        let head = |kind| match kind {
            Kind::Choice { head, values } => {
                Some(Head::new(backend, network, head, values, capacity))
            }
            Kind::Anchor { .. } => None,
        };
        let kinds = network.steps.iter().map(|step| step.kind);
        let floats = || backend.zeros(DType::F32, capacity);
        Ok(Recurrence {
            backend: backend.clone(),
            capacity,
            count: 0,
            length: 0,
            lstm: Lstm::new(backend, network, capacity)?,
            heads: kinds.filter_map(head).collect::<Result<_>>()?,
            anchors: Anchors::new(backend, network, capacity)?,
            idle: vec![vec![]; network.steps.len()],
            weights: Weights::new(backend, capacity)?,
            scores: [floats()?, floats()?],
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

    /// Takes note of changed parameters.
    pub(crate) fn project(&mut self, parameters: &[B::Buffer]) -> Result<()> {
        self.lstm.project(parameters)
    }

    /// Begins a pass of `count` sequences through the first `length` steps. Each of them is a
    /// [`Recurrence::forward`] and a [`Recurrence::settle`].
    pub(crate) fn begin(&mut self, count: usize, length: usize) -> Result<()> {
        (self.count, self.length) = (count, length);
        self.lstm.read(0, &vec![0; count])
    }

    /// Computes the logits of a step from what the step before it settled.
    pub(crate) fn forward(&mut self, parameters: &[B::Buffer], step: usize) -> Result<()> {
        let count = self.count;
        let projection = self.lstm.embed(step, count)?;
        if let Some(anchor) = self.network.anchor_before(step) {
            self.anchors.feed(parameters, anchor, count, projection)?;
        }
        let h = self.lstm.forward(parameters, step, count)?;
        match self.network.steps[step].kind {
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
        self.idle[step] = idle;
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
        match step + 1 < self.length {
            true => self.lstm.read(step + 1, &rows),
            false => Ok(()),
        }
    }

    /// Adds to the sums of each sequence the log-probability of its choices at a step and the entropy
    /// of the distribution that they are from; nothing where it is idle.
    pub(crate) fn score(&mut self, step: usize, sums: &mut [Score]) -> Result<()> {
        let [p, h] = &mut self.scores;
        match self.network.steps[step].kind {
            Kind::Choice { head, .. } => self.heads[head].score(self.count, [p, h])?,
            Kind::Anchor { earlier } => self.anchors.score(earlier, self.count, [p, h])?,
        }
        let [mut p, mut h] = [(); 2].map(|()| vec![0.0f32; self.count]);
        self.backend.read(&self.scores[0], &mut p)?;
        self.backend.read(&self.scores[1], &mut h)?;
        for (sequence, (sum, terms)) in sums.iter_mut().zip(p.into_iter().zip(h)).enumerate() {
            if !self.idle[step].contains(&sequence) {
                sum.log_probability += f64::from(terms.0);
                sum.entropy += f64::from(terms.1);
            }
        }
        Ok(())
    }

    /// The logits of a step's decisions in the first sequence; `None` where it is idle.
    pub(crate) fn logits(&self, step: usize) -> Result<Option<Vec<f32>>> {
        if self.idle[step].contains(&0) {
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
        let (network, count) = (&self.network, self.count);
        self.weights.write(weights)?;
        self.lstm.clear(parameters, count)?;
        self.anchors.clear(parameters, count)?;
        for step in &network.steps[self.length..] {
            if let Kind::Choice { head, .. } = step.kind {
                self.heads[head].clear(parameters)?;
            }
        }
        for step in (0..self.length).rev() {
            let weights = self.weights.without(&self.idle[step])?;
            let (h, dh) = self.lstm.top(step);
            let decided = Decided { count, h, weights, dh };
            match network.steps[step].kind {
                Kind::Choice { head, .. } => self.heads[head].backward(parameters, decided)?,
                Kind::Anchor { earlier } => self.anchors.backward(parameters, earlier, decided)?,
            }
            let dprojection = self.lstm.backward(parameters, step, count)?;
            if let Some(anchor) = network.anchor_before(step) {
                self.anchors.feed_backward(parameters, anchor, count, dprojection)?;
            }
        }
        self.lstm.finish(parameters)
    }
}
