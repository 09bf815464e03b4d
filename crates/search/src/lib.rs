//! Neural architecture search with reinforcement learning: the search itself, and its runs.
//!
//! A [`strategy`] proposes architectures, an [`Evaluator`] turns each into a reward, and the
//! [`scheduler`] decides what runs when, such that the trials of a search depend on its
//! [configuration](config) alone. A [`run`] records them and survives being killed.
//!
//! - [`config`]: everything a search depends on, from presets, files and flags; [`problem`]: what
//!   it names, opened and checked.
//! - [`strategy`]: the policy gradient and random search behind one trait. No strategy knows where
//!   rewards come from.
//! - [`Evaluator`]: children that are trained, or a [`table`] of known results. No evaluator knows
//!   a strategy.
//! - [`scheduler`]: trials, lag, jobs, duplicates. Knows neither files nor the terminal; a
//!   [`scheduler::Listener`] hears of everything.
//! - [`run`]: the directory of a run, ledger included. Resuming repeats the search with the results
//!   in the ledger, so that there is no state to save but results.
//! - [`depth`] and [`limits`]: how many layers architectures have in the course of a search, and
//!   what they may cost.
//! - [`tuning`]: the settings of a recipe that suit the best architecture, as trials of the run.
//! - [`search`], [`retrain`], [`bench`](mod@bench), [`summary`], [`marginals`]: what the command
//!   line is made of.
//!
//! The binary `nasrl` adds arguments and printing, and nothing else.

pub mod amount;
pub mod bench;
pub mod clock;
pub mod comparison;
pub mod config;
pub mod depth;
pub mod device;
pub mod limits;
pub mod marginals;
pub mod panics;
pub mod problem;
pub mod recipes;
pub mod retrain;
pub mod run;
pub mod scheduler;
pub mod search;
pub mod setting;
pub mod strategy;
pub mod summary;
pub mod table;
pub mod text;
pub mod tuning;

mod architectures;
mod atomic_file;
mod evaluator;
mod reward;
mod stop;
mod trial;

pub use architectures::{Architecture, Architectures, Bounds, Identity, Images};
pub use evaluator::{ChildEvaluator, Evaluator, Job, Measurement, Outcome, TableEvaluator};
pub use reward::{FAILED_REWARD, Reward};
pub use stop::{EXIT_INTERRUPTED, Stop};
pub use trial::{Clock, Failure, Proposed, Status, Trial, UnknownStatus};
