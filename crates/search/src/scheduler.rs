//! Which trial runs when.
//!
//! A search is one sequence of trials: first those of the strategy, then those of the baseline. The
//! depth of networks goes by the number of a trial among those of its strategy.
//! What a trial proposes depends on the configuration alone. Before the strategy's trial `t` is
//! proposed it has learned from exactly its trials before `t - lag`, in order, and duplicates are
//! told by trial order, trials in flight included. Jobs, threads and speed only decide what runs
//! when. Hence the same search gives the same trials however it was run, and a run is resumed by
//! repeating it with the results that are known.

mod progression;
mod series;
mod worker;

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::channel;
use std::time::Instant;

use nasrl_child::Epoch;

use crate::depth::Stages;
use crate::strategy::{Strategy, StrategyError};
use crate::{Architectures, Evaluator, Proposed, Stop, Trial};
use progression::Progression;

/// What to search, and how far at a time.
pub struct Plan<'a> {
    /// The space's architectures.
    pub architectures: &'a Architectures<'a>,
    /// Where rewards come from.
    pub evaluator: &'a dyn Evaluator,
    /// The strategy, and after it the baseline if there is one.
    pub strategies: Vec<Box<dyn Strategy + 'a>>,
    /// The space in the course of each strategy's trials.
    pub stages: &'a Stages,
    /// The number of the first trial.
    pub first: u64,
    /// How many trials each of them has.
    pub trials: u64,
    /// How many of its latest trials a strategy that learns does not know of when it proposes.
    pub lag: u64,
    /// How many trials are evaluated at once.
    pub jobs: usize,
    /// When to stop handing out trials.
    pub deadline: Option<Instant>,
    /// Results that are known from before, by trial.
    pub known: BTreeMap<u64, Trial>,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// Why it ended.
    pub reason: Reason,
    /// The finished trials, those known from before among them, in order; without gaps if the
    /// search is complete.
    pub trials: Vec<Trial>,
    /// The strategies that ran out of architectures, with the trials they had until then.
    pub exhausted: Vec<(String, u64)>,
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// All trials are done.
    Complete,
    /// The deadline passed.
    Deadline,
    /// Somebody asked it to stop.
    Stopped,
}

/// Hears of everything that happens in a search, in the thread that runs it; an error ends the
/// search. All methods but those that are written do nothing.
pub trait Listener {
    /// A trial is about to be evaluated.
    ///
    /// # Errors
    /// If that cannot be recorded.
    fn started(&mut self, _: &Proposed) -> Result<(), ListenerError> {
        Ok(())
    }

    /// An epoch of a trial has ended.
    fn epoch(&mut self, _trial: u64, _: &Epoch) {}

    /// A trial has a result that was not known before, and weights if it has any. Not in trial
    /// order.
    ///
    /// # Errors
    /// If that cannot be recorded.
    fn finished(&mut self, _: &Trial, _weights: Option<&[u8]>) -> Result<(), ListenerError> {
        Ok(())
    }

    /// A result that was known before has come up again.
    fn recalled(&mut self, _: &Trial) {}

    /// A strategy has learned something or proposed a trial that has no result yet.
    ///
    /// # Errors
    /// If that cannot be recorded.
    fn learned(&mut self, _: &dyn Strategy) -> Result<(), ListenerError> {
        Ok(())
    }

    /// A strategy will propose nothing more in this process, and has learned what it could. Not
    /// called if the search was stopped before all that was known had come up again.
    ///
    /// # Errors
    /// If that cannot be recorded.
    fn closed(&mut self, _: &dyn Strategy) -> Result<(), ListenerError> {
        Ok(())
    }

    /// Some time has passed; called several times a second.
    fn tick(&mut self) {}
}

/// Hears nothing.
impl Listener for () {}

/// Two listeners, the first of which hears everything first.
pub struct Both<'a>(pub &'a mut dyn Listener, pub &'a mut dyn Listener);

impl Listener for Both<'_> {
    fn started(&mut self, proposed: &Proposed) -> Result<(), ListenerError> {
        self.0.started(proposed)?;
        self.1.started(proposed)
    }

    fn epoch(&mut self, trial: u64, epoch: &Epoch) {
        self.0.epoch(trial, epoch);
        self.1.epoch(trial, epoch);
    }

    fn finished(&mut self, trial: &Trial, weights: Option<&[u8]>) -> Result<(), ListenerError> {
        self.0.finished(trial, weights)?;
        self.1.finished(trial, weights)
    }

    fn recalled(&mut self, trial: &Trial) {
        self.0.recalled(trial);
        self.1.recalled(trial);
    }

    fn learned(&mut self, strategy: &dyn Strategy) -> Result<(), ListenerError> {
        self.0.learned(strategy)?;
        self.1.learned(strategy)
    }

    fn closed(&mut self, strategy: &dyn Strategy) -> Result<(), ListenerError> {
        self.0.closed(strategy)?;
        self.1.closed(strategy)
    }

    fn tick(&mut self) {
        self.0.tick();
        self.1.tick();
    }
}

/// What a listener may fail with.
pub type ListenerError = Box<dyn std::error::Error + Send + Sync>;

/// Why a search cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// A strategy cannot go on.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// A trial could not be evaluated, and nor could another be.
    #[error("trial {trial} has no result: {reason}")]
    Evaluator {
        /// The trial.
        trial: u64,
        /// What went wrong, and what can be done about it.
        reason: String,
    },
    /// What happened could not be recorded.
    #[error(transparent)]
    Listener(ListenerError),
    /// The operating system refuses a thread.
    #[error("cannot start a thread for a trial: {0}; use fewer jobs")]
    Thread(io::Error),
    /// A known result is of other tokens than the strategy proposes.
    #[error(
        "trial {trial} was recorded with tokens {recorded}, but this configuration proposes \
         {proposed}: the run was made by another version, with another configuration or on another \
         kind of processor; resume it there, or start a new run"
    )]
    Diverged {
        /// The trial.
        trial: u64,
        /// Its tokens in the record.
        recorded: String,
        /// Its tokens now.
        proposed: String,
    },
}

/// Runs a search to its end. `stop` ends it early: trials that are being evaluated are abandoned.
///
/// # Errors
/// [`SearchError`]; what the listener was told until then holds.
pub fn run(
    plan: Plan<'_>,
    stop: &Stop,
    listener: &mut dyn Listener,
) -> Result<Ending, SearchError> {
    // An error abandons trials as well, which must not look like somebody's request to stop.
    let abandon = Stop::new();
    let (sender, messages) = channel();
    std::thread::scope(|scope| {
        let mut progression = Progression::new(plan, &mut *listener, scope, sender, &abandon);
        let reason = progression.run(stop, &messages);
        abandon.request();
        progression.end(reason?)
    })
}
