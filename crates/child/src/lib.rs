//! Children: networks that are compiled, trained and measured.
//!
//! [`train`] takes a layer graph of `nasrl-space`, a [`Recipe`] and a dataset ([`data`]), and
//! returns [`Weights`] and accuracies. It knows nothing of where the graph came from or what its
//! accuracy is used for; policies and searches must not become known here.
//!
//! ```
//! use nasrl_child::data::{Dataset, ValidationSplit};
//! use nasrl_child::{Recipe, Training, train};
//! use nasrl_space::{Image, Space};
//!
//! let dataset = Dataset::embedded(ValidationSplit::Standard)?;
//! let space = Space::reference();
//! let image = Image { height: 28, width: 28, channels: 1 };
//! let graph = space.build(&space.parse("1,16,3,16,1,16,1,16")?, image, 10)?;
//!
//! let training = Training { seed: 1, steps: Some(10), log_every: 1, ..Training::default() };
//! let trained = train(&graph, &Recipe::reference(), &dataset, training)?;
//! assert!(trained.losses[9].loss < trained.losses[0].loss);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A network is compiled to a [`Program`] before it is trained: steps over buffers that are planned
//! once, with everything fused that one pass over memory can do, and no allocation of activations
//! afterwards. The alternative, a tape of tensors as frameworks have it, would be simpler and run
//! the same kernels, but moves every activation through memory several times more.
//!
//! A [`Schedule`] cuts batches into blocks that stay in a core's cache from the input to the last
//! gradient. The cut depends on the network and never on the threads, and sums are made in order:
//! seed and trial decide every bit of the result on one instruction set, with any number of
//! threads and whatever trains beside it.

mod checkpoint;
pub mod data;
mod error;
mod input;
mod program;
mod progress;
pub mod recipe;
mod requirements;
mod schedule;
mod team;
mod throughput;
mod train;
mod training;
mod weights;

pub use checkpoint::Checkpoint;
pub use error::{CheckpointError, RecipeError, TrainError, WeightsError};
pub use program::{Batch, Lowering, Pass, Program, ProgramOptions, Score};
pub use progress::{Epoch, StepLoss};
pub use recipe::Recipe;
pub use requirements::{Requirements, requirements, requirements_on};
pub use schedule::Schedule;
pub use throughput::{Throughput, throughput};
pub use train::{Evaluation, Part, Trained, evaluate, train, train_on};
pub use training::{OnCheckpoint, Test, Training};
pub use weights::Weights;
