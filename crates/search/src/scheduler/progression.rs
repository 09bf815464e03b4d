//! The state of a search and its transitions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant, SystemTime};

use nasrl_child::Epoch;
use nasrl_space::{ArchitectureHash, Graph};

use super::series::{Series, Turn};
use super::worker::{self, Message, Work};
use super::{Ending, Listener, Plan, Reason, SearchError};
use crate::clock::utc;
use crate::strategy::{Proposal, Strategy};
use crate::{
    Architecture, Clock, FAILED_REWARD, Failure, Measurement, Outcome, Proposed, Status, Stop,
    Trial,
};

/// A search under way, in the thread that runs it; trials are evaluated in threads of `scope`.
pub(super) struct Progression<'p, 'scope, 'env> {
    plan: Plan<'p>,
    listener: &'scope mut dyn Listener,
    scope: &'scope Scope<'scope, 'env>,
    sender: Sender<Message>,
    abandon: &'scope Stop,
    /// The strategies whose turn is yet to come.
    upcoming: VecDeque<Box<dyn Strategy + 'p>>,
    current: Option<Series<'p>>,
    /// Strategies that have proposed everything, but may have something to learn.
    closed: Vec<Series<'p>>,
    exhausted: Vec<(String, u64)>,
    next_trial: u64,
    /// The first trial of every architecture, of every setting of it.
    firsts: HashMap<(ArchitectureHash, Option<String>), u64>,
    /// Whether trials are proposed until there are enough, or as many as can be.
    proposing: bool,
    /// Trials to be evaluated, in their order, with the networks that their tokens build.
    ready: VecDeque<(Proposed, Option<Graph>)>,
    running: HashMap<u64, Running>,
    /// Duplicates of trials that are running, by the latter.
    waiting: HashMap<u64, Vec<Proposed>>,
    results: BTreeMap<u64, Trial>,
}

struct Running {
    proposed: Proposed,
    started_at: String,
    epochs: Vec<Epoch>,
}

/// How many trials a job a strategy that learns nothing proposes at once: enough for the longest of
/// them to be worth choosing, few enough for results to come nearly in the order of trials.
const AT_ONCE: usize = 8;

/// How long to wait for news before looking after everything else.
const PATIENCE: Duration = Duration::from_millis(50);

impl<'p: 'scope, 'scope, 'env> Progression<'p, 'scope, 'env> {
    pub(super) fn new(
        mut plan: Plan<'p>,
        listener: &'scope mut dyn Listener,
        scope: &'scope Scope<'scope, 'env>,
        sender: Sender<Message>,
        abandon: &'scope Stop,
    ) -> Self {
        let upcoming = std::mem::take(&mut plan.strategies).into();
        let mut progression = Progression {
            next_trial: plan.first,
            plan,
            listener,
            scope,
            sender,
            abandon,
            upcoming,
            current: None,
            closed: Vec::new(),
            exhausted: Vec::new(),
            firsts: HashMap::new(),
            proposing: false,
            ready: VecDeque::new(),
            running: HashMap::new(),
            waiting: HashMap::new(),
            results: BTreeMap::new(),
        };
        progression.turn_over();
        progression
    }

    pub(super) fn run(
        &mut self,
        stop: &Stop,
        messages: &Receiver<Message>,
    ) -> Result<Reason, SearchError> {
        loop {
            self.listener.tick();
            if stop.requested() {
                return Ok(Reason::Stopped);
            }
            let late = self.plan.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            // What is known costs no time.
            let may_propose = !late || self.next_is_known();
            let is_free = self.running.len() < self.plan.jobs;
            // Only when all are started, or the shortest would wait as long as others come.
            self.proposing |= self.ready.is_empty() && is_free;
            self.proposing &= may_propose && self.ready.len() < AT_ONCE * self.plan.jobs;
            if self.proposing {
                self.proposing = self.advance()?;
                if self.proposing {
                    continue;
                }
            }
            if !late && is_free && self.start()? {
                continue;
            }
            if self.running.is_empty() {
                let complete = self.current.is_none() && self.ready.is_empty();
                return Ok(if complete { Reason::Complete } else { Reason::Deadline });
            }
            match messages.recv_timeout(PATIENCE) {
                Ok(message) => self.hear(message)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("a sender is kept here"),
            }
        }
    }

    /// Lets every strategy learn what it can, and sums up.
    pub(super) fn end(mut self, reason: Reason) -> Result<Ending, SearchError> {
        for mut series in self.closed.into_iter().chain(self.current) {
            if reason == Reason::Complete {
                series.observe(series.proposed(), &self.results)?;
            }
            // A strategy that was stopped before it learned all that is known would be recorded as
            // less than it was.
            if self.plan.known.is_empty() {
                self.listener.closed(&*series.strategy).map_err(SearchError::Listener)?;
            }
        }
        self.listener.tick();
        let mut results = self.results;
        results.append(&mut self.plan.known);
        Ok(Ending { reason, trials: results.into_values().collect(), exhausted: self.exhausted })
    }

    /// Whether the result of the next trial is known from before.
    fn next_is_known(&self) -> bool {
        self.plan.known.contains_key(&self.next_trial)
    }

    /// Proposes one trial, or turns to the next strategy; `false` if neither is possible now.
    fn advance(&mut self) -> Result<bool, SearchError> {
        let Some(series) = &mut self.current else { return Ok(false) };
        match series.propose(&self.plan, &self.results)? {
            Turn::Blocked => return Ok(false),
            Turn::Complete => self.turn_over(),
            Turn::Exhausted => {
                self.exhausted.push((series.strategy.name().to_owned(), series.proposed()));
                self.turn_over();
            }
            Turn::Proposal(proposal, over) => {
                let name = series.strategy.name();
                if !self.plan.known.contains_key(&self.next_trial) {
                    self.listener.learned(&*series.strategy).map_err(SearchError::Listener)?;
                }
                self.take(proposal, over, name)?;
            }
        }
        Ok(true)
    }

    /// Begins with the trials of the next strategy.
    fn turn_over(&mut self) {
        self.closed.extend(self.current.take());
        let next = self.upcoming.pop_front();
        self.current = next.map(|strategy| Series::new(strategy, self.next_trial));
    }

    /// Makes a proposal a trial: known, a duplicate, or to be evaluated. `over` others were over a
    /// limit.
    fn take(&mut self, proposal: Proposal, over: u64, strategy: &str) -> Result<(), SearchError> {
        let Proposal { tokens, setting, log_probability, entropy, redraws, restarted } = proposal;
        let Architecture { hash, excess, graph } = self.plan.architectures.build(&tokens);
        let built = graph.as_ref().ok().and_then(Option::as_ref);
        let proposed = Proposed {
            trial: self.next_trial,
            strategy: strategy.to_owned(),
            hash,
            params: built.map(Graph::parameters),
            flops: built.map(Graph::flops),
            tokens,
            setting,
            log_probability,
            entropy,
            redraws,
            over_limits: over + u64::from(excess.is_some()),
            restarted,
        };
        self.next_trial += 1;
        let identity = (hash, setting.map(|setting| setting.to_string()));
        let first = *self.firsts.entry(identity).or_insert(proposed.trial);
        if let Some(known) = self.plan.known.remove(&proposed.trial) {
            return self.recall(known, &proposed);
        }
        if first != proposed.trial {
            return match self.results.get(&first) {
                Some(original) => self.finish(duplicate(proposed, original), None),
                None => {
                    self.waiting.entry(first).or_default().push(proposed);
                    Ok(())
                }
            };
        }
        let (failure, reason) = match (graph, excess) {
            (Ok(graph), None) => {
                self.ready.push_back((proposed, graph));
                return Ok(());
            }
            (Ok(_), Some(excess)) => (Failure::TooLarge, excess.to_string()),
            (Err(refused), _) => (Failure::Invalid, refused.to_string()),
        };
        self.finish(failed(proposed, failure, reason, Clock::now()), None)
    }

    fn recall(&mut self, known: Trial, proposed: &Proposed) -> Result<(), SearchError> {
        let space = self.plan.architectures.space();
        if known.proposed.tokens != proposed.tokens {
            return Err(SearchError::Diverged {
                trial: proposed.trial,
                recorded: space.format(&known.proposed.tokens),
                proposed: space.format(&proposed.tokens),
            });
        }
        self.listener.recalled(&known);
        self.settle(known)
    }

    /// Starts a trial that is ready; `false` if there is none.
    fn start(&mut self) -> Result<bool, SearchError> {
        let Some((proposed, graph)) = self.next_ready() else { return Ok(false) };
        self.listener.started(&proposed).map_err(SearchError::Listener)?;
        let Proposed { trial, ref tokens, setting, .. } = proposed;
        let work = Work { trial, tokens: tokens.clone(), setting, graph };
        let started_at = utc(SystemTime::now());
        self.running.insert(work.trial, Running { proposed, started_at, epochs: Vec::new() });
        let (evaluator, abandon) = (self.plan.evaluator, self.abandon);
        let sender = self.sender.clone();
        let thread = Builder::new().name(format!("trial {}", work.trial));
        let evaluate = move || worker::evaluate(evaluator, &work, abandon, &sender);
        thread.spawn_scoped(self.scope, evaluate).map_err(SearchError::Thread)?;
        Ok(true)
    }

    /// The trial to be started next: that which a strategy waits for, or else the longest, so that
    /// none of those is what everybody waits for at the end.
    fn next_ready(&mut self) -> Option<(Proposed, Option<Graph>)> {
        let awaited = self.current.as_ref().and_then(|series| series.awaits(&self.results));
        let awaited = self.ready.iter().position(|(proposed, _)| Some(proposed.trial) == awaited);
        let longest = || {
            let ready = self.ready.iter().enumerate();
            let longest = ready.max_by_key(|(_, (proposed, _))| {
                (proposed.flops.unwrap_or(0), Reverse(proposed.trial))
            });
            longest.map(|(index, _)| index)
        };
        let next = awaited.or_else(longest)?;
        self.ready.remove(next)
    }

    fn hear(&mut self, message: Message) -> Result<(), SearchError> {
        match message {
            Message::Epoch { trial, epoch } => {
                if let Some(running) = self.running.get_mut(&trial) {
                    running.epochs.push(epoch);
                    self.listener.epoch(trial, &epoch);
                }
                Ok(())
            }
            Message::Finished { trial, outcome, seconds } => match self.running.remove(&trial) {
                Some(running) => self.conclude(running, outcome, seconds),
                None => Ok(()),
            },
        }
    }

    fn conclude(
        &mut self,
        running: Running,
        outcome: Outcome,
        seconds: f64,
    ) -> Result<(), SearchError> {
        let Running { proposed, started_at, epochs } = running;
        let clock = Clock { started_at, evaluation_seconds: Some(seconds), ..Clock::now() };
        match outcome {
            // Only a search that is about to end stops its trials.
            Outcome::Stopped => Ok(()),
            Outcome::Broken(reason) => {
                Err(SearchError::Evaluator { trial: proposed.trial, reason })
            }
            Outcome::Failed(failure, reason) => {
                let trial = Trial { epochs, ..failed(proposed, failure, reason, clock) };
                self.finish(trial, None)
            }
            Outcome::Done(measured) => {
                let images_per_second = median(epochs.iter().map(|epoch| epoch.images_per_second));
                let Measurement { reward, validation_accuracy, weights, device } = measured;
                let trial = Trial {
                    proposed,
                    status: Status::Done,
                    validation_accuracy,
                    reward,
                    duplicate_of: None,
                    detail: None,
                    epochs,
                    clock: Clock { images_per_second, evaluated_on: device, ..clock },
                };
                self.finish(trial, weights.as_deref())
            }
        }
    }

    /// Records a new result.
    fn finish(&mut self, trial: Trial, weights: Option<&[u8]>) -> Result<(), SearchError> {
        self.listener.finished(&trial, weights).map_err(SearchError::Listener)?;
        self.settle(trial)
    }

    /// Makes a result count, for the trials that wait for it as well.
    fn settle(&mut self, trial: Trial) -> Result<(), SearchError> {
        let number = trial.proposed.trial;
        let waiting = self.waiting.remove(&number).unwrap_or_default();
        let duplicates: Vec<Trial> =
            waiting.into_iter().map(|proposed| duplicate(proposed, &trial)).collect();
        self.results.insert(number, trial);
        duplicates.into_iter().try_for_each(|duplicate| self.finish(duplicate, None))
    }
}

/// The trial of an architecture whose result is there already.
fn duplicate(proposed: Proposed, original: &Trial) -> Trial {
    Trial {
        proposed,
        status: Status::Duplicate,
        validation_accuracy: original.validation_accuracy,
        reward: original.reward,
        duplicate_of: Some(original.proposed.trial),
        detail: None,
        epochs: Vec::new(),
        clock: Clock::now(),
    }
}

fn failed(proposed: Proposed, failure: Failure, reason: String, clock: Clock) -> Trial {
    Trial {
        proposed,
        status: Status::Failed(failure),
        validation_accuracy: None,
        reward: FAILED_REWARD,
        duplicate_of: None,
        detail: Some(reason),
        epochs: Vec::new(),
        clock,
    }
}

/// The median; `None` of nothing.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len() % 2 == 1 { upper } else { (values[middle - 1] + upper) / 2.0 })
}
