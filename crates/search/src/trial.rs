//! One trial: an architecture that was proposed, and what became of it.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use nasrl_child::Epoch;
use nasrl_space::{ArchitectureHash, Tokens};

use crate::clock::utc;
use crate::setting::Setting;

/// A trial with its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What was proposed.
    pub proposed: Proposed,
    /// What became of it.
    pub status: Status,
    /// The accuracy on the validation images after the last epoch; `None` where nothing was
    /// trained, as for failed trials and rewards from a table.
    pub validation_accuracy: Option<f64>,
    /// What the strategy is told; of a failed trial [`FAILED_REWARD`](crate::FAILED_REWARD).
    pub reward: f64,
    /// The trial whose result this one shares, as it is of the same architecture.
    pub duplicate_of: Option<u64>,
    /// Why it failed, in words.
    pub detail: Option<String>,
    /// Epoch by epoch, where it was trained.
    pub epochs: Vec<Epoch>,
    /// When, where and how fast.
    pub clock: Clock,
}

/// An architecture that a strategy wants to be tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposed {
    /// The number of the trial in its run, from 0.
    pub trial: u64,
    /// The name of the strategy.
    pub strategy: String,
    /// What the strategy chose.
    pub tokens: Tokens,
    /// The setting that it is trained with in place of the run's recipe, where it is tuned.
    pub setting: Option<Setting>,
    /// The identity of the architecture that they build.
    pub hash: ArchitectureHash,
    /// Trainable parameters; `None` where the tokens build no network.
    pub params: Option<u64>,
    /// Floating-point operations of a forward pass of one image, two a multiply-add.
    pub flops: Option<u64>,
    /// The log-probability of the tokens under the policy, in nats, for strategies that have one.
    pub log_probability: Option<f64>,
    /// The entropy of the policy along the tokens, in nats, for strategies that have one.
    pub entropy: Option<f64>,
    /// How many proposals the strategy threw away for this one, as it had seen them before or they
    /// were over a limit.
    pub redraws: u64,
    /// How many proposals were over a limit, this one among them.
    pub over_limits: u64,
    /// Whether the strategy forgot what it had learned just before.
    pub restarted: bool,
}

/// What differs when the same run is repeated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clock {
    /// When the evaluation began, in UTC.
    pub started_at: String,
    /// When the result was there, in UTC.
    pub finished_at: String,
    /// How long the evaluation took; `None` where the result was known already.
    pub evaluation_seconds: Option<f64>,
    /// The median over the epochs; `None` where nothing was trained.
    pub images_per_second: Option<f64>,
    /// The device; `None` where nothing was computed.
    pub evaluated_on: Option<String>,
}

/// What became of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Evaluated, with a reward.
    Done,
    /// Of the architecture of an earlier trial, whose result it shares. Never evaluated again.
    Duplicate,
    /// No result.
    Failed(Failure),
}

/// Why a trial has no result. The search goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The tokens describe no network for these images, or are not in the table.
    Invalid,
    /// The network is over a limit, or beyond what the computer can hold.
    TooLarge,
    /// Training ran into infinite or undefined numbers.
    Nan,
    /// The memory did not suffice.
    OutOfMemory,
    /// The program failed where it should not have.
    Panicked,
}

impl Status {
    /// All there are.
    pub const ALL: [Status; 7] = [
        Status::Done,
        Status::Duplicate,
        Status::Failed(Failure::Invalid),
        Status::Failed(Failure::TooLarge),
        Status::Failed(Failure::Nan),
        Status::Failed(Failure::OutOfMemory),
        Status::Failed(Failure::Panicked),
    ];
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Done => "done",
            Status::Duplicate => "duplicate",
            Status::Failed(Failure::Invalid) => "invalid",
            Status::Failed(Failure::TooLarge) => "too_large",
            Status::Failed(Failure::Nan) => "nan",
            Status::Failed(Failure::OutOfMemory) => "out_of_memory",
            Status::Failed(Failure::Panicked) => "panicked",
        })
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Status, UnknownStatus> {
        let named = Status::ALL.into_iter().find(|status| status.to_string() == word);
        named.ok_or_else(|| UnknownStatus(word.to_owned()))
    }
}

impl Clock {
    /// Begun and finished just now.
    pub(crate) fn now() -> Clock {
        let now = utc(SystemTime::now());
        Clock { started_at: now.clone(), finished_at: now, ..Clock::default() }
    }
}

/// A word that names no [`Status`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the status of a trial")]
pub struct UnknownStatus(String);

impl Trial {
    /// The trials of a search with a result of their own, best first. Those of tuning are others'
    /// architectures, and mostly trained longer.
    pub fn ranking(trials: &[Trial]) -> Vec<&Trial> {
        Trial::ranked(trials.iter().filter(|trial| trial.proposed.setting.is_none()))
    }

    /// Those with a result of their own, best first.
    pub fn ranked<'a>(trials: impl Iterator<Item = &'a Trial>) -> Vec<&'a Trial> {
        let done = trials.filter(|trial| trial.status == Status::Done);
        let mut ranking: Vec<&Trial> = done.collect();
        ranking.sort_by(|a, b| a.better_first(b));
        ranking
    }

    /// The order of merit: the larger reward first, of equal ones the earlier trial.
    pub fn better_first(&self, other: &Trial) -> std::cmp::Ordering {
        let by_reward = other.reward.total_cmp(&self.reward);
        by_reward.then(self.proposed.trial.cmp(&other.proposed.trial))
    }
}
