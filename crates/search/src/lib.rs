//! Neural architecture search with reinforcement learning.

pub mod bench;
pub mod clock;
pub mod comparison;
pub mod config;
pub mod panics;
pub mod problem;
pub mod retrain;
pub mod run;
pub mod scheduler;
pub mod search;
pub mod strategy;
pub mod summary;
pub mod table;
pub mod text;

mod architectures;
mod atomic_file;
mod evaluator;
mod reward;
mod stop;
mod trial;

pub use architectures::{Architecture, Architectures, Images};
pub use evaluator::{ChildEvaluator, Evaluator, Job, Measurement, Outcome, TableEvaluator};
pub use reward::{FAILED_REWARD, Reward};
pub use stop::{EXIT_INTERRUPTED, Stop};
pub use trial::{Clock, Failure, Proposed, Status, Trial, UnknownStatus};
