//! The policy network of nasrl: samples architectures and learns from their rewards.
//!
//! A [`Policy`] is a distribution over the token strings of a search space: an LSTM with a softmax
//! head for each decision, and anchor points that decide which layers a layer reads. [`Reinforce`] improves it by the policy gradient, with every
//! hyperparameter in a [`Config`] and three [`Preset`]s of them.
//!
//! ```
//! use nasrl_controller::{Preset, Proposal, Reinforce, Rejection};
//! use nasrl_space::Space;
//! use nasrl_tensor::Cpu;
//! use std::collections::HashSet;
//!
//! let space = Space::reference();
//! let mut controller = Reinforce::new(&Cpu::serial(), &space, &Preset::Default.config(), 1)?;
//! let mut seen = HashSet::new();
//! for trial in 0..10 {
//!     let rejected = |tokens: &_| seen.contains(tokens).then_some(Rejection::Seen);
//!     let Proposal::Drawn(draw) = controller.propose(trial, &space, &rejected)? else { break };
//!     let reward = f64::from(draw.tokens.as_slice()[1]); // In earnest, a trained network's.
//!     controller.observe(trial, &draw.tokens, reward)?;
//!     seen.insert(draw.tokens);
//! }
//! assert_eq!(controller.metrics().updates, 10);
//! # Ok::<(), nasrl_controller::Error>(())
//! ```
//!
//! This crate knows spaces, and must not come to know networks that are trained, data sets or
//! where a reward came from. It computes with the operations of `nasrl-tensor` alone, so that a
//! policy runs wherever they do. A seeded run is the same, bit for bit, on one kind of device,
//! whatever else goes on there.

mod anchors;
mod checkpoint;
mod config;
mod descent;
mod error;
mod head;
mod lstm;
mod parameters;
mod policy;
mod products;
mod queue;
mod recurrence;
mod reinforce;
mod reward;
mod weights;

pub use config::{Baseline, Config, Optimizer, Preset, RewardScale, Sharing};
pub use error::{CheckpointError, ConfigError, Error, Result};
pub use policy::{Policy, Sample, Score, Term};
pub use reinforce::{Draw, Metrics, Proposal, RECENT, Reinforce, Rejection};
