//! The policy: a distribution over token strings.

use nasrl_space::{Space, Tokens};
use nasrl_tensor::ops::{RowDraw, Rows};
use nasrl_tensor::random::Key;
use nasrl_tensor::{Backend, Element};

use crate::parameters::{Network, Parameters, Step};
use crate::recurrence::Recurrence;
use crate::{Config, Error, Result};

/// A distribution over the token strings of a space, `p(a) = prod_t p(a_t | a_0 .. a_{t-1})`
/// (arXiv 1611.01578, section 3.2).
///
/// Step `t` feeds the embedding of `a_{t-1}`, an embedding of its own for the first, to an LSTM
/// whose last hidden state a head of its own turns into the logits of decision `t`.
pub struct Policy<B: Backend> {
    backend: B,
    space: Space,
    config: Config,
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
        let mut policy = Policy {
            backend: backend.clone(),
            space: space.clone(),
            config: config.clone(),
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

    /// Draws `count` token strings: number `r` with the random words of counters
    /// `[first + r, step, 0, 0]` of the key.
    pub fn sample(&mut self, key: Key, first: u32, count: usize) -> Result<Vec<Sample>> {
        self.prepare(count)?;
        let steps = self.network.steps.len();
        let mut indices = vec![Vec::with_capacity(steps); count];
        self.backend.clear(count, &mut self.recurrence.steps[0].row)?;
        for step in 0..steps {
            self.recurrence.forward(&self.parameters.values, step, count)?;
            let draw = RowDraw { key, first, step: step as u32 };
            let rows = Rows { count, channels: self.network.steps[step].choices };
            let buffers = &mut self.recurrence.steps[step];
            self.backend.categorical_sample(rows, &buffers.logits, draw, &mut buffers.choice)?;
            let choices: Vec<u32> = self.read(&self.recurrence.steps[step].choice, count)?;
            for (indices, choice) in indices.iter_mut().zip(&choices) {
                indices.push(*choice as u16);
            }
            self.feed(step, &choices)?;
        }
        let scores = self.scores(count)?;
        let sample = |(indices, score)| {
            let tokens = self.space.tokens(indices).expect("an index of a value of each decision");
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

    /// The distribution of each decision after the choices that `tokens` made before it.
    ///
    /// # Errors
    /// [`Error::Tokens`] for tokens of another space.
    pub fn distributions(&mut self, tokens: &Tokens) -> Result<Vec<Vec<f64>>> {
        self.forward(&[tokens])?;
        let steps = self.recurrence.steps.iter().zip(&self.network.steps);
        let distribution = |logits: Vec<f32>| {
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut p: Vec<f64> =
                logits.iter().map(|logit| f64::from(logit - largest).exp()).collect();
            let sum: f64 = p.iter().sum();
            p.iter_mut().for_each(|p| *p /= sum);
            p
        };
        steps
            .map(|(step, shape)| Ok(distribution(self.read(&step.logits, shape.choices)?)))
            .collect()
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
        let [log_probability, entropy] = &mut self.recurrence.weights;
        self.backend.write(&weights(|term| term.log_probability), log_probability)?;
        self.backend.write(&weights(|term| term.entropy), entropy)?;
        Ok(self.recurrence.backward(&mut self.parameters, terms.len())?)
    }

    /// Name and values of every parameter, in this order:
    ///
    /// - `embedding`, a row of [`Config::embedding`] numbers for the first step's input and then for
    ///   each value of each table of embeddings, in the order of the decisions;
    /// - for each LSTM layer from 0 on, the one that reads the embeddings, `lstm0.input`
    ///   `[inputs, 4 units]`, `lstm0.recurrent` `[units, 4 units]` and `lstm0.bias` `[4 units]`,
    ///   with the gates of [`LstmCell`](nasrl_tensor::ops::LstmCell);
    /// - for each decision `head.<name>.weight` `[units, values]` and `head.<name>.bias` `[values]`.
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
        let steps = &self.network.steps;
        let fits = |(index, step): (&u16, &Step)| usize::from(*index) < step.choices;
        if found.len() == steps.len() && found.iter().zip(steps).all(fits) {
            return Ok(());
        }
        Err(Error::Tokens { found: found.to_vec(), space: self.space.name().to_owned() })
    }

    /// Makes room for `count` sequences and brings the table up to date.
    fn prepare(&mut self, count: usize) -> Result<()> {
        if self.recurrence.capacity() < count {
            self.recurrence = Recurrence::new(&self.backend, &self.network, count)?;
            self.projected = false;
        }
        if !self.projected {
            self.recurrence.project(&self.parameters.values)?;
            self.projected = true;
        }
        Ok(())
    }

    /// Runs given token strings through the network.
    fn forward(&mut self, tokens: &[&Tokens]) -> Result<()> {
        tokens.iter().try_for_each(|tokens| self.check(tokens))?;
        let count = tokens.len();
        self.prepare(count)?;
        self.backend.clear(count, &mut self.recurrence.steps[0].row)?;
        let mut choices = vec![0; count];
        for step in 0..self.network.steps.len() {
            for (choice, tokens) in choices.iter_mut().zip(tokens) {
                *choice = u32::from(tokens.as_slice()[step]);
            }
            self.backend.write(&choices, &mut self.recurrence.steps[step].choice)?;
            self.feed(step, &choices)?;
            self.recurrence.forward(&self.parameters.values, step, count)?;
        }
        Ok(())
    }

    /// Makes the next step read the embeddings of a step's choices.
    fn feed(&mut self, step: usize, choices: &[u32]) -> Result<()> {
        if let Some(next) = self.recurrence.steps.get_mut(step + 1) {
            let first_row = self.network.steps[step].first_row as u32;
            let rows: Vec<u32> = choices.iter().map(|choice| first_row + choice).collect();
            self.backend.write(&rows, &mut next.row)?;
        }
        Ok(())
    }

    /// The scores of sequences that went through the network.
    fn scores(&mut self, count: usize) -> Result<Vec<Score>> {
        let mut scores = vec![Score { log_probability: 0.0, entropy: 0.0 }; count];
        for (buffers, shape) in self.recurrence.steps.iter().zip(&self.network.steps) {
            let rows = Rows { count, channels: shape.choices };
            let [log_probability, entropy] = &mut self.recurrence.weights;
            self.backend.categorical_score(
                rows,
                &buffers.logits,
                &buffers.choice,
                log_probability,
                entropy,
            )?;
            let read = |buffer| -> nasrl_tensor::Result<Vec<f32>> {
                let mut numbers = vec![0.0; count];
                self.backend.read(buffer, &mut numbers)?;
                Ok(numbers)
            };
            let terms = read(log_probability)?.into_iter().zip(read(entropy)?);
            for (score, (log_probability, entropy)) in scores.iter_mut().zip(terms) {
                score.log_probability += f64::from(log_probability);
                score.entropy += f64::from(entropy);
            }
        }
        Ok(scores)
    }

    fn named(&self, buffers: &[B::Buffer]) -> Result<Vec<(&str, Vec<f32>)>> {
        let specs = self.parameters.specs.iter().zip(buffers);
        specs
            .map(|(spec, buffer)| Ok((spec.name.as_str(), self.read(buffer, spec.count())?)))
            .collect()
    }

    fn read<T: Element>(&self, buffer: &B::Buffer, count: usize) -> Result<Vec<T>> {
        debug_assert_eq!(B::dtype(buffer), T::DTYPE);
        let mut numbers = vec![T::zeroed(); count];
        self.backend.read(buffer, &mut numbers)?;
        Ok(numbers)
    }
}
