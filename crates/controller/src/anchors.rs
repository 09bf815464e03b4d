//! The anchor points: which earlier layers a layer reads (arXiv 1611.01578, section 3.3).
//!
//! Each layer has one, a step of the LSTM. The bits of the anchor with the hidden state `h_i` say
//! which of the anchors before it, `j < i`, feed its layer:
//!
//! ```text
//! P(j feeds i) = sigmoid(v . tanh(h_j W_previous + h_i W_current))
//! ```
//!
//! What the paper leaves open is what the step after an anchor reads. Here it is the mean `m` of the
//! hidden states `h_j` of the anchors that were chosen, or zero where none was, as in ENAS (arXiv
//! 1802.03268), times a matrix `W_input` of its own, beside the row of the table of embeddings that
//! stands for an anchor: its layer 0 starts from `row + m W_input`.

use nasrl_tensor::ops::{
    Attention, AttentionGradients, AttentionInputs, ChannelRange, CopyChannels, RowDraw, Rows, Sum,
};
use nasrl_tensor::{Backend, DType, Result};

use crate::head::Decided;
use crate::parameters::{Network, Parameters};
use crate::products::{left_transposed, plain, right_transposed};

/// The anchors of some sequences side by side.
pub(crate) struct Anchors<B: Backend> {
    backend: B,
    network: Network,
    /// The hidden states `h_j`, `[capacity, anchors, units]`.
    states: B::Buffer,
    dstates: B::Buffer,
    /// `h_j W_previous`, `[capacity, anchors, units]`.
    keys: B::Buffer,
    dkeys: B::Buffer,
    each: Vec<Anchor<B>>,
    /// `[capacity, anchors]`.
    dlogits: B::Buffer,
    /// Something of one anchor, `[capacity, units]`.
    single: B::Buffer,
}

/// What one anchor's step leaves behind for the backward pass.
struct Anchor<B: Backend> {
    /// `h_i W_current`, `[capacity, units]`.
    query: B::Buffer,
    /// `[capacity, earlier]`, like the next two.
    logits: B::Buffer,
    bits: B::Buffer,
    /// 1 over the number of bits that are 1 where the bit is 1, else 0.
    shares: B::Buffer,
    /// The mean of the chosen anchors' hidden states, `[capacity, units]`.
    mean: B::Buffer,
}

impl<B: Backend> Anchors<B> {
    pub(crate) fn new(backend: &B, network: &Network, capacity: usize) -> Result<Self> {
        let Network { units, anchors, .. } = *network;
        let floats = |count: usize| backend.zeros(DType::F32, count);
        let state = || floats(capacity * units);
        let all = || floats(capacity * anchors * units);
        let anchor = |earlier: usize| {
            Ok(Anchor {
                query: state()?,
                logits: floats(capacity * earlier)?,
                bits: backend.zeros(DType::U32, capacity * earlier)?,
                shares: floats(capacity * earlier)?,
                mean: state()?,
            })
        };
        Ok(Anchors {
            backend: backend.clone(),
            states: all()?,
            dstates: all()?,
            keys: all()?,
            dkeys: all()?,
            each: (0..anchors).map(anchor).collect::<Result<_>>()?,
            dlogits: floats(capacity * anchors)?,
            single: state()?,
            network: network.clone(),
        })
    }

    /// Computes the logits of an anchor's bits, and what later anchors need of it, from the hidden
    /// states `h` of `count` sequences.
    pub(crate) fn forward(
        &mut self,
        parameters: &[B::Buffer],
        earlier: usize,
        h: &B::Buffer,
        count: usize,
    ) -> Result<()> {
        let (backend, network) = (&self.backend, &self.network);
        let product = plain(count, network.units, network.units);
        let into_all = one_to_all(network, earlier, count);
        backend.copy_channels(&into_all, h, Sum::Store, &mut self.states)?;
        let previous = &parameters[network.anchor_previous()];
        backend.matmul(&product, h, previous, Sum::Store, &mut self.single)?;
        backend.copy_channels(&into_all, &self.single, Sum::Store, &mut self.keys)?;
        if earlier == 0 {
            return Ok(());
        }
        let anchor = &mut self.each[earlier];
        let current = &parameters[network.anchor_current()];
        backend.matmul(&product, h, current, Sum::Store, &mut anchor.query)?;
        let v = &parameters[network.anchor_v()];
        let inputs = AttentionInputs { keys: &self.keys, query: &anchor.query, v };
        backend.attention_scores(&attention(network, earlier, count), inputs, &mut anchor.logits)
    }

    /// Draws an anchor's bits, `[count, earlier]`.
    pub(crate) fn draw(&mut self, earlier: usize, draw: RowDraw, count: usize) -> Result<Vec<u32>> {
        let rows = Rows { count, channels: earlier };
        let anchor = &mut self.each[earlier];
        self.backend.bernoulli_sample(rows, &anchor.logits, draw, &mut anchor.bits)?;
        let mut bits = vec![0; rows.elements()];
        self.backend.read(&anchor.bits, &mut bits)?;
        Ok(bits)
    }

    /// Takes an anchor's bits, `[count, earlier]`, and computes the mean that the next step reads.
    pub(crate) fn settle(&mut self, earlier: usize, bits: &[u32], count: usize) -> Result<()> {
        if earlier == 0 {
            return Ok(());
        }
        let anchor = &mut self.each[earlier];
        self.backend.write(bits, &mut anchor.bits)?;
        let mut shares = Vec::with_capacity(bits.len());
        for bits in bits.chunks_exact(earlier) {
            let chosen = bits.iter().sum::<u32>().max(1);
            shares.extend(bits.iter().map(|bit| *bit as f32 / chosen as f32));
        }
        self.backend.write(&shares, &mut anchor.shares)?;
        let geometry = attention(&self.network, earlier, count);
        let mean = &mut anchor.mean;
        self.backend.attention_context(&geometry, &anchor.shares, &self.states, mean)
    }

    /// Log-probability and entropy of each sequence's bits.
    pub(crate) fn score(
        &self,
        earlier: usize,
        count: usize,
        [p, h]: [&mut B::Buffer; 2],
    ) -> Result<()> {
        let Anchor { logits, bits, .. } = &self.each[earlier];
        self.backend.bernoulli_score(Rows { count, channels: earlier }, logits, bits, p, h)
    }

    /// The logits of the first sequence's bits.
    pub(crate) fn logits(&self, earlier: usize) -> Result<Vec<f32>> {
        let mut logits = vec![0.0; earlier];
        self.backend.read(&self.each[earlier].logits, &mut logits)?;
        Ok(logits)
    }

    /// Adds what the step after an anchor reads of it to what layer 0 starts from,
    /// `[count, 4 units]`.
    pub(crate) fn feed(
        &self,
        parameters: &[B::Buffer],
        earlier: usize,
        count: usize,
        projection: &mut B::Buffer,
    ) -> Result<()> {
        if earlier == 0 {
            return Ok(());
        }
        let (mean, input) = (&self.each[earlier].mean, &parameters[self.network.anchor_input()]);
        let product = plain(count, 4 * self.network.units, self.network.units);
        self.backend.matmul(&product, mean, input, Sum::Add, projection)
    }

    /// Starts the backward pass of `count` sequences.
    pub(crate) fn clear(&mut self, parameters: &mut Parameters<B>, count: usize) -> Result<()> {
        let Network { units, anchors, .. } = self.network;
        if anchors == 0 {
            return Ok(());
        }
        self.backend.clear(count * anchors * units, &mut self.dstates)?;
        self.backend.clear(count * anchors * units, &mut self.dkeys)?;
        let (specs, gradients) = (&parameters.specs, &mut parameters.gradients);
        for place in self.network.anchor_previous()..=self.network.anchor_input() {
            self.backend.clear(specs[place].count(), &mut gradients[place])?;
        }
        Ok(())
    }

    /// The gradients of [`Anchors::feed`], from that of what layer 0 started from.
    pub(crate) fn feed_backward(
        &mut self,
        parameters: &mut Parameters<B>,
        earlier: usize,
        count: usize,
        dprojection: &B::Buffer,
    ) -> Result<()> {
        if earlier == 0 {
            return Ok(());
        }
        let (backend, network) = (&self.backend, &self.network);
        let Parameters { values, gradients, .. } = parameters;
        let (anchor, input) = (&self.each[earlier], network.anchor_input());
        let product = left_transposed(network.units, 4 * network.units, count);
        backend.matmul(&product, &anchor.mean, dprojection, Sum::Add, &mut gradients[input])?;
        let (product, dmean) =
            (right_transposed(count, network.units, 4 * network.units), &mut self.single);
        backend.matmul(&product, dprojection, &values[input], Sum::Store, dmean)?;
        let geometry = attention(network, earlier, count);
        backend.attention_context_backward(&geometry, &anchor.shares, dmean, &mut self.dstates)
    }

    /// The gradients of an anchor's step, after those of all later ones: of parameters and hidden
    /// states, added.
    pub(crate) fn backward(
        &mut self,
        parameters: &mut Parameters<B>,
        earlier: usize,
        decided: Decided<'_, B>,
    ) -> Result<()> {
        let Decided { count, h, weights, dh } = decided;
        let (backend, network, single) = (&self.backend, &self.network, &mut self.single);
        let Parameters { values, gradients, .. } = parameters;
        let (previous, current, v) =
            (network.anchor_previous(), network.anchor_current(), network.anchor_v());
        let to_weights = left_transposed(network.units, network.units, count);
        let to_state = right_transposed(count, network.units, network.units);
        if earlier > 0 {
            let Anchor { query, logits, bits, .. } = &self.each[earlier];
            let rows = Rows { count, channels: earlier };
            backend.bernoulli_backward(rows, logits, bits, weights, &mut self.dlogits)?;
            let inputs = AttentionInputs { keys: &self.keys, query, v: &values[v] };
            let into = AttentionGradients {
                dkeys: &mut self.dkeys,
                dquery: single,
                dv: &mut gradients[v],
            };
            let geometry = attention(network, earlier, count);
            backend.attention_scores_backward(&geometry, inputs, &self.dlogits, into)?;
            backend.matmul(&to_weights, h, single, Sum::Add, &mut gradients[current])?;
            backend.matmul(&to_state, single, &values[current], Sum::Add, dh)?;
        }
        let from_all = all_to_one(network, earlier, count);
        backend.copy_channels(&from_all, &self.dkeys, Sum::Store, single)?;
        backend.matmul(&to_weights, h, single, Sum::Add, &mut gradients[previous])?;
        backend.matmul(&to_state, single, &values[previous], Sum::Add, dh)?;
        backend.copy_channels(&from_all, &self.dstates, Sum::Add, dh)
    }
}

/// An anchor's attention to those before it.
fn attention(network: &Network, earlier: usize, count: usize) -> Attention {
    let Network { units, anchors, .. } = *network;
    Attention { batch: count, sources: earlier, capacity: anchors, units }
}

/// From one anchor's rows to its place among all.
fn one_to_all(network: &Network, anchor: usize, count: usize) -> CopyChannels {
    let Network { units, anchors, .. } = *network;
    CopyChannels {
        rows: count,
        channels: units,
        from: ChannelRange { first: 0, width: units },
        to: ChannelRange { first: anchor * units, width: anchors * units },
    }
}

/// The other way round.
fn all_to_one(network: &Network, anchor: usize, count: usize) -> CopyChannels {
    let there = one_to_all(network, anchor, count);
    CopyChannels { from: there.to, to: there.from, ..there }
}
