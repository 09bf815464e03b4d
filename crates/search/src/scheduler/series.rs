//! The trials of one strategy.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};

use nasrl_space::{ArchitectureHash, Tokens};

use super::Plan;
use crate::Trial;
use crate::strategy::{Proposal, Rejection, Strategy, StrategyError};

/// A strategy and how far it has come. Its trials are numbered from `first` in the search and from
/// 0 for the strategy.
pub(super) struct Series<'a> {
    pub(super) strategy: Box<dyn Strategy + 'a>,
    first: u64,
    proposed: u64,
    observed: u64,
    /// The stage of the space that its latest trial was of.
    stage: usize,
    seen: HashSet<ArchitectureHash>,
}

/// What a series has to say when asked for its next trial.
pub(super) enum Turn {
    /// This is next, after so many others that were over a limit.
    Proposal(Proposal, u64),
    /// An earlier trial has to be finished first.
    Blocked,
    /// All trials were proposed.
    Complete,
    /// No architecture is left.
    Exhausted,
}

impl<'a> Series<'a> {
    pub(super) fn new(strategy: Box<dyn Strategy + 'a>, first: u64) -> Self {
        Series { strategy, first, proposed: 0, observed: 0, stage: 0, seen: HashSet::new() }
    }

    /// How many trials it has proposed.
    pub(super) fn proposed(&self) -> u64 {
        self.proposed
    }

    /// Its next proposal, if it has not proposed all of the plan's trials already, learned from
    /// exactly its trials before the latest `lag`.
    pub(super) fn propose(
        &mut self,
        plan: &Plan<'_>,
        results: &BTreeMap<u64, Trial>,
    ) -> Result<Turn, StrategyError> {
        let Plan { trials, lag, architectures, stages, .. } = *plan;
        if self.proposed == trials {
            return Ok(Turn::Complete);
        }
        if self.strategy.learns() && !self.observe(self.proposed.saturating_sub(lag), results)? {
            return Ok(Turn::Blocked);
        }
        self.stage = self.stage.max(stages.stage_of(self.proposed));
        // Whether each token string that the strategy asked for is over a limit.
        let asked = RefCell::new(Vec::new());
        let rejected = |tokens: &Tokens| {
            let identity = architectures.identify(tokens);
            let is_over = identity.excess.is_some();
            asked.borrow_mut().push(is_over);
            match self.seen.contains(&identity.hash) {
                _ if is_over => Some(Rejection::Barred),
                true => Some(Rejection::Seen),
                false => None,
            }
        };
        let proposal = loop {
            let within = stages.space(self.stage);
            match self.strategy.propose(self.proposed, within, &rejected)? {
                Some(proposal) => break proposal,
                None if self.stage + 1 < stages.count() => self.stage += 1,
                None => return Ok(Turn::Exhausted),
            }
            asked.borrow_mut().clear();
        };
        let redraws = usize::try_from(proposal.redraws).unwrap_or(usize::MAX);
        let over = asked.into_inner().into_iter().take(redraws).filter(|&is_over| is_over).count();
        self.seen.insert(architectures.identify(&proposal.tokens).hash);
        self.proposed += 1;
        Ok(Turn::Proposal(proposal, over as u64))
    }

    /// The trial of the search whose result it needs first, if it learns.
    pub(super) fn awaits(&self, results: &BTreeMap<u64, Trial>) -> Option<u64> {
        let mut trials = self.first + self.observed..self.first + self.proposed;
        trials.find(|trial| self.strategy.learns() && !results.contains_key(trial))
    }

    /// Learns from its trials before number `end`; whether all of them had results.
    pub(super) fn observe(
        &mut self,
        end: u64,
        results: &BTreeMap<u64, Trial>,
    ) -> Result<bool, StrategyError> {
        while self.observed < end {
            let Some(trial) = results.get(&(self.first + self.observed)) else { return Ok(false) };
            self.strategy.observe(self.observed, &trial.proposed.tokens, trial.reward)?;
            self.observed += 1;
        }
        Ok(true)
    }
}
