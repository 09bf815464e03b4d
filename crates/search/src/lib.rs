//! Neural architecture search with reinforcement learning.

pub mod clock;
pub mod panics;
pub mod scheduler;
pub mod strategy;
pub mod table;

mod architectures;
mod atomic_file;
mod evaluator;
mod reward;
mod stop;
mod trial;

pub use architectures::{Architecture, Architectures, Images};
pub use evaluator::{Evaluator, Job, Measurement, Outcome, TableEvaluator};
pub use reward::{FAILED_REWARD, Reward};
pub use stop::{EXIT_INTERRUPTED, Stop};
pub use trial::{Clock, Epoch, Failure, Proposed, Status, Trial, UnknownStatus};
