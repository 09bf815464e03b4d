//! The trials of one strategy.

use std::collections::{BTreeMap, HashSet};

use nasrl_space::{ArchitectureHash, Tokens};

use crate::strategy::{Proposal, Strategy, StrategyError};
use crate::{Architectures, Trial};

/// A strategy and how far it has come. Its trials are numbered from `first` in the search and from
/// 0 for the strategy.
pub(super) struct Series<'a> {
    pub(super) strategy: Box<dyn Strategy + 'a>,
    first: u64,
    proposed: u64,
    observed: u64,
    seen: HashSet<ArchitectureHash>,
}

/// What a series has to say when asked for its next trial.
pub(super) enum Turn {
    /// This is next.
    Proposal(Proposal),
    /// An earlier trial has to be finished first.
    Blocked,
    /// All trials were proposed.
    Complete,
    /// No architecture is left.
    Exhausted,
}

impl<'a> Series<'a> {
    pub(super) fn new(strategy: Box<dyn Strategy + 'a>, first: u64) -> Self {
        Series { strategy, first, proposed: 0, observed: 0, seen: HashSet::new() }
    }

    /// How many trials it has proposed.
    pub(super) fn proposed(&self) -> u64 {
        self.proposed
    }

    /// Its next proposal, if it has not proposed `trials` already, learned from exactly its trials
    /// before the latest `lag`.
    pub(super) fn propose(
        &mut self,
        trials: u64,
        lag: u64,
        architectures: &Architectures<'_>,
        results: &BTreeMap<u64, Trial>,
    ) -> Result<Turn, StrategyError> {
        if self.proposed == trials {
            return Ok(Turn::Complete);
        }
        if self.strategy.learns() && !self.observe(self.proposed.saturating_sub(lag), results)? {
            return Ok(Turn::Blocked);
        }
        let seen = |tokens: &Tokens| self.seen.contains(&architectures.hash(tokens));
        let Some(proposal) = self.strategy.propose(self.proposed, &seen)? else {
            return Ok(Turn::Exhausted);
        };
        self.seen.insert(architectures.hash(&proposal.tokens));
        self.proposed += 1;
        Ok(Turn::Proposal(proposal))
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
