//! The policy: a distribution over token strings.

use std::ops::Range;

use nasrl_space::{Decision, Space, Tokens};
use nasrl_tensor::Backend;
use nasrl_tensor::ops::RowDraw;
use nasrl_tensor::random::Key;

use crate::parameters::{Kind, Network, Parameters};
use crate::recurrence::Recurrence;
use crate::{Config, Error, Result};

/// A distribution over the token strings of a space, `p(a) = prod_t p(a_t | a_0 .. a_{t-1})`
/// (arXiv 1611.01578, section 3.2), of each of its depths.
///
/// Step `t` feeds the embedding of `a_{t-1}`, an embedding of its own for the first, to an LSTM
/// whose last hidden state a head of its own turns into the logits of decision `t`.
///
/// An anchor, the step that decides which earlier layers a layer reads, is one step of the LSTM,
/// with the hidden state `h_i`. Layer `j < i` is read with the probability
/// `sigmoid(v . tanh(h_j W_previous + h_i W_current))`, independently of the others (section 3.3).
/// The paper leaves open what the next step is fed. Here it is an embedding that stands for an
/// anchor and, times a matrix of its own, the mean of the hidden states `h_j` of the anchors that
/// were chosen, or zero where none was: the mean as in ENAS (arXiv 1802.03268).
///
/// A decision that is not made after the choices before it counts as its first value, with
/// probability 1. Token strings of fewer layers are decided by the first steps.
pub struct Policy<B: Backend> {
    backend: B,
    space: Space,
    config: Config,
    /// How many tokens the token strings of each depth have.
    lengths: Vec<usize>,
    network: Network,
    pub(crate) parameters: Parameters<B>,
    recurrence: Recurrence<B>,
    /// Whether the recurrence's table is that of the parameters.
    projected: bool,
}

/// A token string that the policy drew.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// One choice for each decision.
    pub tokens: Tokens,
    /// What the policy thinks of it.
    pub score: Score,
}

/// What a policy thinks of a token string.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// `sum_t log p(a_t | a_0 .. a_{t-1})`, in nats.
    pub log_probability: f64,
    /// `sum_t H(p(. | a_0 .. a_{t-1}))`, in nats: over samples, its mean is the entropy of the
    /// policy.
    pub entropy: f64,
}

/// A term `w log p(a) + v sum_t H(p(. | a_0 .. a_{t-1}))` of an objective.
#[derive(Clone, Copy, Debug)]
pub struct Term<'a> {
    /// The token string `a`.
    pub tokens: &'a Tokens,
    /// `w`, the weight of its log-probability.
    pub log_probability: f64,
    /// `v`, the weight of the entropy along it.
    pub entropy: f64,
}

impl<B: Backend> Policy<B> {
    /// A policy with random parameters.
    ///
    /// # Errors
    /// [`Error::Config`] for a hyperparameter outside its range, and [`Error::Tensor`] if the
    /// device has not got the memory.
    pub fn new(backend: &B, space: &Space, config: &Config, key: Key) -> Result<Self> {
        config.validate()?;
        let network = Network::new(space, config);
        let cuts = space.depths().filter_map(|depth| space.at_depth(depth).ok());
        let mut policy = Policy {
            backend: backend.clone(),
            space: space.clone(),
            config: config.clone(),
            lengths: cuts.map(|cut| cut.decisions().len()).collect(),
            parameters: Parameters::zeros(backend, &network, space)?,
            recurrence: Recurrence::new(backend, &network, 1)?,
            network,
            projected: false,
        };
        policy.initialise(key)?;
        Ok(policy)
    }

    /// Replaces all parameters by random ones.
    pub fn initialise(&mut self, key: Key) -> Result<()> {
        self.projected = false;
        self.parameters.initialise(&self.backend, &self.config, key)
    }

    /// Draws `count` token strings of `within`, the policy's space or that
    /// [at a depth](Space::at_depth): number `r` with the random words whose counters begin with
    /// `first + r` and the step's number, see [`RowDraw`]. Of several depths it is the largest.
    ///
    /// # Errors
    /// [`Error::Space`] for another space.
    pub fn sample(
        &mut self,
        within: &Space,
        key: Key,
        first: u32,
        count: usize,
    ) -> Result<Vec<Sample>> {
        self.check_space(within)?;
        let length = within.steps().len();
        self.begin(count, length)?;
        let mut indices = vec![Vec::with_capacity(within.decisions().len()); count];
        for step in 0..length {
            self.recurrence.forward(&self.parameters.values, step)?;
            let draw = RowDraw { key, first, step: step as u32 };
            let mut choices = self.recurrence.draw(step, draw)?;
            let mut idle = vec![];
            let decisions = &self.network.steps[step].decisions;
            for (sequence, indices) in indices.iter_mut().enumerate() {
                let own = &mut choices[sequence * decisions.len()..][..decisions.len()];
                if !self.is_made(decisions, indices) {
                    own.fill(0);
                    idle.push(sequence);
                }
                indices.extend(own.iter().map(|choice| *choice as u16));
            }
            self.recurrence.settle(step, &choices, idle)?;
        }
        let scores = self.scores(count)?;
        let sample = |(indices, score)| {
            let tokens = within.tokens(indices).expect("an index of a value of each decision");
            Sample { tokens, score }
        };
        Ok(indices.into_iter().zip(scores).map(sample).collect())
    }

    /// Scores token strings of the policy's space.
    ///
    /// # Errors
    /// [`Error::Tokens`] for those of another.
    pub fn score(&mut self, tokens: &[&Tokens]) -> Result<Vec<Score>> {
        self.forward(tokens)?;
        self.scores(tokens.len())
    }

    /// The distribution of each decision that `tokens` make, after their choices before it. A
    /// decision that is not made has its first value with certainty.
    ///
    /// # Errors
    /// [`Error::Tokens`] for tokens of another space.
    pub fn distributions(&mut self, tokens: &Tokens) -> Result<Vec<Vec<f64>>> {
        self.forward(&[tokens])?;
        let mut distributions = Vec::with_capacity(tokens.len());
        for (number, step) in self.network.steps[..self.recurrence.length()].iter().enumerate() {
            let logits = self.recurrence.logits(number)?;
            match (step.kind, logits) {
                (Kind::Choice { .. }, Some(logits)) => distributions.push(softmax(&logits)),
                (Kind::Choice { values, .. }, None) => {
                    distributions.push((0..values).map(|value| f64::from(value == 0)).collect());
                }
                (Kind::Anchor { .. }, logits) => {
                    let bits = logits.into_iter().flatten();
                    distributions.extend(bits.map(|logit| softmax(&[0.0, logit])));
                }
            }
        }
        Ok(distributions)
    }

    /// Computes the gradient of the sum of the terms by the parameters, where
    /// [`Policy::gradients`] reads it.
    ///
    /// # Errors
    /// [`Error::Tokens`] for tokens of another space.
    pub fn gradient(&mut self, terms: &[Term<'_>]) -> Result<()> {
        let tokens: Vec<&Tokens> = terms.iter().map(|term| term.tokens).collect();
        self.forward(&tokens)?;
        let weights = |weight: fn(&Term<'_>) -> f64| -> Vec<f32> {
            terms.iter().map(|term| weight(term) as f32).collect()
        };
        let weights = [weights(|term| term.log_probability), weights(|term| term.entropy)];
        Ok(self.recurrence.backward(&mut self.parameters, weights)?)
    }

    /// Name and values of every parameter, in this order:
    ///
    /// - `embedding`, a row of [`Config::embedding`] numbers for the first step's input and then for
    ///   each value of each table of embeddings, in the order of the steps; an anchor has a row, and
    ///   with [`Sharing::Kind`](crate::Sharing::Kind) all have the same;
    /// - for each LSTM layer from 0 on, the one that reads the embeddings, `lstm0.input`
    ///   `[inputs, 4 units]`, `lstm0.recurrent` `[units, 4 units]` and `lstm0.bias` `[4 units]`,
    ///   with the gates of [`LstmCell`](nasrl_tensor::ops::LstmCell);
    /// - for each decision but those of anchors `head.<name>.weight` `[units, values]` and
    ///   `head.<name>.bias` `[values]`;
    /// - for all anchors together `anchor.previous` and `anchor.current` `[units, units]`,
    ///   `anchor.v` `[units]`, and `anchor.input` `[units, 4 units]`, which the mean of the chosen
    ///   anchors is multiplied by.
    pub fn parameters(&self) -> Result<Vec<(&str, Vec<f32>)>> {
        self.named(&self.parameters.values)
    }

    /// Name and values of the gradient of every parameter, as [`Policy::gradient`] left them.
    pub fn gradients(&self) -> Result<Vec<(&str, Vec<f32>)>> {
        self.named(&self.parameters.gradients)
    }

    /// The space whose token strings it draws.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The hyperparameters that it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn backend(&self) -> &B {
        &self.backend
    }

    /// The parameters for writing.
    pub(crate) fn parameters_mut(&mut self) -> &mut Parameters<B> {
        self.projected = false;
        &mut self.parameters
    }

    /// Whether tokens are of the policy's space.
    pub(crate) fn check(&self, tokens: &Tokens) -> Result<()> {
        let found = tokens.as_slice();
        let fits = |(place, (index, decision)): (usize, (&u16, &Decision))| {
            usize::from(*index) < decision.values().len()
                && (*index == 0 || self.space.is_made(place, found))
        };
        let mut choices = found.iter().zip(self.space.decisions()).enumerate();
        if self.lengths.contains(&found.len()) && choices.all(fits) {
            return Ok(());
        }
        Err(Error::Tokens { found: found.to_vec(), space: self.space.name().to_owned() })
    }

    /// Whether a space is the policy's or that at a depth.
    pub(crate) fn check_space(&self, within: &Space) -> Result<()> {
        let decisions = within.decisions();
        if self.space.decisions().starts_with(decisions)
            && self.space.steps().starts_with(within.steps())
            && self.lengths.contains(&decisions.len())
        {
            return Ok(());
        }
        let [found, expected] = [within, &self.space].map(|space| space.name().to_owned());
        Err(Error::Space { found, expected })
    }

    /// Whether the decisions of a step are made after the choices before them. Bits of an anchor
    /// always are.
    fn is_made(&self, decisions: &Range<usize>, before: &[u16]) -> bool {
        decisions.is_empty() || self.space.is_made(decisions.start, before)
    }

    /// Makes room for `count` sequences, brings the table up to date, and begins a pass through the
    /// first `length` steps.
    fn begin(&mut self, count: usize, length: usize) -> Result<()> {
        if self.recurrence.capacity() < count {
            self.recurrence = Recurrence::new(&self.backend, &self.network, count)?;
            self.projected = false;
        }
        if !self.projected {
            self.recurrence.project(&self.parameters.values)?;
            self.projected = true;
        }
        Ok(self.recurrence.begin(count, length)?)
    }

    /// Runs given token strings through the network.
    fn forward(&mut self, tokens: &[&Tokens]) -> Result<()> {
        tokens.iter().try_for_each(|tokens| self.check(tokens))?;
        let longest = tokens.iter().map(|tokens| tokens.len()).max().unwrap_or(0);
        let length = self.network.steps.partition_point(|step| step.decisions.end <= longest);
        self.begin(tokens.len(), length)?;
        let mut choices = vec![];
        for step in 0..length {
            self.recurrence.forward(&self.parameters.values, step)?;
            let decisions = &self.network.steps[step].decisions;
            choices.clear();
            let mut idle = vec![];
            for (sequence, tokens) in tokens.iter().enumerate() {
                let tokens = tokens.as_slice();
                match tokens.get(decisions.clone()) {
                    Some(own) if self.is_made(decisions, tokens) => {
                        choices.extend(own.iter().map(|index| u32::from(*index)));
                    }
                    _ => {
                        choices.resize(choices.len() + decisions.len(), 0);
                        idle.push(sequence);
                    }
                }
            }
            self.recurrence.settle(step, &choices, idle)?;
        }
        Ok(())
    }

    /// The scores of sequences that went through the network.
    fn scores(&mut self, count: usize) -> Result<Vec<Score>> {
        let mut scores = vec![Score { log_probability: 0.0, entropy: 0.0 }; count];
        for step in 0..self.recurrence.length() {
            self.recurrence.score(step, &mut scores)?;
        }
        Ok(scores)
    }

    fn named(&self, buffers: &[B::Buffer]) -> Result<Vec<(&str, Vec<f32>)>> {
        let specs = self.parameters.specs.iter().zip(buffers);
        specs
            .map(|(spec, buffer)| Ok((spec.name.as_str(), self.read(buffer, spec.count())?)))
            .collect()
    }

    fn read(&self, buffer: &B::Buffer, count: usize) -> Result<Vec<f32>> {
        let mut numbers = vec![0.0; count];
        self.backend.read(buffer, &mut numbers)?;
        Ok(numbers)
    }
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut p: Vec<f64> = logits.iter().map(|logit| f64::from(logit - largest).exp()).collect();
    let sum: f64 = p.iter().sum();
    p.iter_mut().for_each(|p| *p /= sum);
    p
}
