//! REINFORCE around the policy.

use nasrl_space::{Space, Tokens};
use nasrl_tensor::Backend;
use nasrl_tensor::random::{Key, Philox};

use crate::descent::Descent;
use crate::queue::{Entry, Queue};
use crate::reward::{MovingAverage, Rewards};
use crate::{Config, Error, Policy, Result, Sample, Score, Term};

/// A policy that learns from the rewards of what it proposes.
///
/// [`Reinforce::propose`] and [`Reinforce::observe`] are each called once a trial, in trial order;
/// a caller may observe trials while later ones are proposed already. What a trial proposes depends
/// on the space, the configuration, the seed, and the order of the calls before it: random words
/// are keyed by seed, trial and purpose, never drawn from a common stream.
///
/// After every [`Config::children_per_update`] trials one step descends the gradient of
/// `-1/m sum_k (A_k log p(a_k) + entropy_weight H_k)`, where `A`, the advantage, is the scaled
/// reward less its baseline, both taken when the trial is observed. With a queue a second step
/// follows, on draws from the best trials so far.
pub struct Reinforce<B: Backend> {
    pub(crate) config: Config,
    pub(crate) policy: Policy<B>,
    pub(crate) descent: Descent<B>,
    pub(crate) learner: Learner,
}

/// What was learned apart from parameters.
pub(crate) struct Learner {
    pub(crate) seed: u64,
    pub(crate) rewards: Rewards,
    pub(crate) baseline: MovingAverage,
    pub(crate) queue: Queue,
    /// Trials that wait for the next update, with their advantages.
    pub(crate) pending: Vec<(Tokens, f64)>,
    pub(crate) updates: u64,
    pub(crate) restarts: u64,
    /// The entropy along the last proposal.
    pub(crate) entropy: Option<f64>,
}

/// What to try next.
#[derive(Clone, Debug, PartialEq)]
pub enum Proposal {
    /// A token string.
    Drawn(Draw),
    /// Everything is rejected: no token string of the space is left, or none was found among
    /// thousands in a space too large to enumerate.
    Exhausted,
}

/// Why a token string is not to be proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// It was proposed before.
    Seen,
    /// It may not be tried at all, being over a limit, say.
    Barred,
}

/// A token string to try, and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    /// One choice for each decision.
    pub tokens: Tokens,
    /// Its log-probability under the policy, in nats.
    pub log_probability: f64,
    /// The sum of the entropies of the policy's distributions along it, in nats.
    pub entropy: f64,
    /// How many samples were rejected before it.
    pub redraws: usize,
    /// Whether the policy started anew for it.
    pub restarted: bool,
}

/// How the learning goes, as of the last call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics {
    /// The baseline, on the scale of [`Config::reward_scale`]; `None` before the first trial and
    /// after a restart.
    pub baseline: Option<f64>,
    /// The mean reward of the last [`RECENT`] trials; `None` before the first.
    pub mean_reward: Option<f64>,
    /// The sum of the entropies of the policy's distributions along the last proposal, in nats.
    pub entropy: Option<f64>,
    /// How often the policy learned from trials.
    pub updates: u64,
    /// How often it started anew.
    pub restarts: u64,
}

/// How many trials [`Metrics::mean_reward`] averages.
pub const RECENT: usize = 20;

/// Barred samples of the policy that are drawn again, and uniform draws that look for something to
/// propose once it finds nothing.
const PROBES: usize = 4096;
/// Spaces up to this size are enumerated when the probes find nothing either.
const ENUMERABLE: u32 = 1 << 20;
/// Samples that are drawn side by side once the first was rejected.
const SIDE_BY_SIDE: usize = 8;

impl<B: Backend> Reinforce<B> {
    /// A controller that has seen nothing yet.
    ///
    /// # Errors
    /// [`Error::Config`] for a hyperparameter outside its range, and [`Error::Tensor`] if the
    /// device has not got the memory.
    pub fn new(backend: &B, space: &Space, config: &Config, seed: u64) -> Result<Self> {
        let policy = Policy::new(backend, space, config, Key::new(seed, 0, "policy"))?;
        Self::with_policy(policy, seed)
    }

    /// A controller that has seen nothing yet, but starts from a policy that has.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the device has not got the memory.
    pub fn with_policy(policy: Policy<B>, seed: u64) -> Result<Self> {
        let config = policy.config().clone();
        Ok(Reinforce {
            descent: Descent::new(policy.backend(), &config, &policy.parameters)?,
            learner: Learner {
                seed,
                rewards: Rewards::new(config.reward_scale),
                baseline: MovingAverage::new(config.baseline, config.baseline_decay),
                queue: Queue::new(config.queue_size),
                pending: vec![],
                updates: 0,
                restarts: 0,
                entropy: None,
            },
            config,
            policy,
        })
    }

    /// What to try as trial number `trial`: a sample of the policy, of the space `within`, which is
    /// the policy's or that [at a depth](Space::at_depth); of several depths it is the largest.
    ///
    /// With [`Config::redraws`] above 0 it is one that is not `rejected`. If so many samples were
    /// seen before, the policy has collapsed and starts anew; barred ones say nothing of the kind.
    /// If that does not help either, uniform draws and then, in a small space, an enumeration look
    /// for what is left.
    ///
    /// # Errors
    /// [`Error::Space`] for another space, and [`Error::Diverged`] if learning has run into NaN.
    pub fn propose(
        &mut self,
        trial: u64,
        within: &Space,
        rejected: &dyn Fn(&Tokens) -> Option<Rejection>,
    ) -> Result<Proposal> {
        let key = Key::new(self.learner.seed, trial, "sample");
        if self.config.redraws == 0 {
            let sample = self.samples(within, trial, key, 0..1)?.remove(0);
            return Ok(self.drawn(sample, 0, false));
        }
        let (mut drawn, mut barred) = (0, 0);
        let mut restarted = false;
        loop {
            let (mut seen, mut together) = (0, 1);
            while seen < self.config.redraws && barred < PROBES {
                let next = drawn + together.min(self.config.redraws - seen);
                for sample in self.samples(within, trial, key, drawn..next)? {
                    match rejected(&sample.tokens) {
                        None => return Ok(self.drawn(sample, drawn, restarted)),
                        Some(Rejection::Seen) => seen += 1,
                        Some(Rejection::Barred) => barred += 1,
                    }
                    drawn += 1;
                }
                together = SIDE_BY_SIDE;
            }
            if restarted || barred >= PROBES {
                break;
            }
            self.restart(trial)?;
            restarted = true;
        }
        let Some(tokens) = self.unrejected(within, trial, rejected) else {
            return Ok(Proposal::Exhausted);
        };
        let score = self.policy.score(&[&tokens])?[0];
        Ok(self.drawn(Sample { tokens, score }, drawn, restarted))
    }

    /// Learns the reward of trial number `trial`. A failed trial's reward is the caller's choice.
    ///
    /// # Errors
    /// [`Error::Order`] unless trials come as 0, 1, 2, ..., [`Error::Reward`] unless the reward is
    /// finite, and [`Error::Tokens`] for tokens of another space; nothing was learned then.
    pub fn observe(&mut self, trial: u64, tokens: &Tokens, reward: f64) -> Result<()> {
        let expected = self.learner.rewards.history().len() as u64;
        if trial != expected {
            return Err(Error::Order { found: trial, expected });
        }
        if !reward.is_finite() {
            return Err(Error::Reward { trial, reward });
        }
        self.policy.check(tokens)?;
        let learner = &mut self.learner;
        let scaled = learner.rewards.observe(reward);
        let limit = self.config.advantage_limit;
        let advantage = learner.baseline.advantage(scaled).clamp(-limit, limit);
        learner.queue.observe(tokens, reward);
        learner.pending.push((tokens.clone(), advantage));
        if learner.pending.len() < self.config.children_per_update {
            return Ok(());
        }
        self.learn_from_trials()?;
        if self.config.queue_draws > 0 {
            self.learn_from_queue(trial)?;
        }
        self.learner.updates += 1;
        Ok(())
    }

    /// How the learning goes.
    pub fn metrics(&self) -> Metrics {
        let learner = &self.learner;
        Metrics {
            baseline: learner.baseline.value(),
            mean_reward: learner.rewards.recent(RECENT),
            entropy: learner.entropy,
            updates: learner.updates,
            restarts: learner.restarts,
        }
    }

    /// The policy as it is now.
    pub fn policy(&mut self) -> &mut Policy<B> {
        &mut self.policy
    }

    /// The hyperparameters.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn learn_from_trials(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.learner.pending);
        let share = 1.0 / pending.len() as f64;
        let terms: Vec<Term<'_>> = pending
            .iter()
            .map(|(tokens, advantage)| Term {
                tokens,
                log_probability: -share * advantage,
                entropy: -share * self.config.entropy_weight,
            })
            .collect();
        self.descend(&terms)
    }

    /// A step on [`Config::queue_draws`] draws from the queue; equal ones are one term.
    fn learn_from_queue(&mut self, trial: u64) -> Result<()> {
        let mut stream = Philox::new(Key::new(self.learner.seed, trial, "queue"));
        let entries: Vec<Entry> = self.learner.queue.entries.clone();
        let mut draws = vec![0; entries.len()];
        for _ in 0..self.config.queue_draws {
            draws[stream.below(entries.len() as u32) as usize] += 1;
        }
        let share = |draws: i32| f64::from(draws) / self.config.queue_draws as f64;
        let drawn = entries.iter().zip(draws).filter(|(_, draws)| *draws > 0);
        let terms: Vec<Term<'_>> = drawn
            .map(|(entry, draws)| Term {
                tokens: &entry.tokens,
                log_probability: -share(draws) * self.config.queue_weight,
                entropy: -share(draws) * self.config.queue_entropy_weight,
            })
            .collect();
        self.descend(&terms)
    }

    fn descend(&mut self, terms: &[Term<'_>]) -> Result<()> {
        let Config { learning_rate, learning_rate_factor, learning_rate_period, .. } = self.config;
        let periods = self.learner.updates / learning_rate_period;
        let rate = learning_rate * learning_rate_factor.powf(periods as f64);
        self.policy.gradient(terms)?;
        Ok(self.descent.step(self.policy.parameters_mut(), rate)?)
    }

    /// Forgets what the policy learned; rewards and queue stay.
    fn restart(&mut self, trial: u64) -> Result<()> {
        let learner = &mut self.learner;
        learner.restarts += 1;
        learner.baseline.clear();
        self.policy.initialise(Key::new(learner.seed, trial, "restarted policy"))?;
        Ok(self.descent.clear(&self.policy.parameters)?)
    }

    fn samples(
        &mut self,
        within: &Space,
        trial: u64,
        key: Key,
        draws: std::ops::Range<usize>,
    ) -> Result<Vec<Sample>> {
        let samples = self.policy.sample(within, key, draws.start as u32, draws.len())?;
        match samples.iter().all(|sample| sample.score.log_probability.is_finite()) {
            true => Ok(samples),
            false => Err(Error::Diverged { trial }),
        }
    }

    fn drawn(&mut self, sample: Sample, redraws: usize, restarted: bool) -> Proposal {
        let Sample { tokens, score: Score { log_probability, entropy } } = sample;
        self.learner.entropy = Some(entropy);
        Proposal::Drawn(Draw { tokens, log_probability, entropy, redraws, restarted })
    }

    /// Something that is not rejected, whatever the policy thinks of it.
    fn unrejected(
        &self,
        within: &Space,
        trial: u64,
        rejected: &dyn Fn(&Tokens) -> Option<Rejection>,
    ) -> Option<Tokens> {
        let mut stream = Philox::new(Key::new(self.learner.seed, trial, "unseen"));
        let mut probes = (0..PROBES).map(|_| within.sample(&mut stream));
        if let Some(tokens) = probes.find(|tokens| rejected(tokens).is_none()) {
            return Some(tokens);
        }
        if within.count() > ENUMERABLE.into() {
            return None;
        }
        let mut left: Vec<Tokens> =
            within.iter().filter(|tokens| rejected(tokens).is_none()).collect();
        match left.len() as u32 {
            0 => None,
            count => Some(left.swap_remove(stream.below(count) as usize)),
        }
    }
}
