//! Tensors and neural-network operations without a deep-learning framework below them.
//!
//! A [`Tensor`] is a contiguous array on a [`Backend`]: [`Cpu`], explicit SIMD chosen at run time and
//! threads by rayon, or [`Cuda`], kernels that are compiled for the GPU that is there. Activations are
//! NHWC, convolution filters KRSC. Every operation in [`ops`] comes with its gradients as functions of
//! their own; there is no tape, so that a caller who compiles a network once, as `nasrl-child` does,
//! pays for nothing else. [`Cpu::with_conv2d`] chooses Winograd's convolution, which is faster and
//! rounds otherwise.
//!
//! An operation stands in its places under one name: `ops/<name>.rs` holds its geometry, its backend
//! trait and the checked functions on tensors, `cpu/<name>.rs` and `cuda/<name>.rs` what the
//! backends do.
//! The functions on tensors check dtypes and shapes and answer with a typed [`Error`]; the methods
//! of the backend traits work on buffers that were checked before, and are what a compiled program
//! calls.
//!
//! ```
//! use nasrl_tensor::{Cpu, Tensor, ops};
//!
//! let cpu = Cpu::new();
//! let x = Tensor::from_slice(&cpu, [2, 2], &[1.0f32, -2.0, 3.0, -4.0])?;
//! let y = ops::activation(&x, ops::Activation::Relu)?;
//! assert_eq!(y.to_vec::<f32>()?, [1.0, 0.0, 3.0, 0.0]);
//! # Ok::<(), nasrl_tensor::Error>(())
//! ```

mod backend;
pub mod cpu;
pub mod cuda;
mod dtype;
mod error;
pub mod ops;
pub mod random;
mod shape;
mod tensor;

pub use backend::{Backend, Memory, Record, Reside};
pub use cpu::Cpu;
pub use cuda::Cuda;
pub use dtype::{DType, Element, Float};
pub use error::{CudaVersion, Error, MemoryState, Result};
pub use shape::{MAX_RANK, Shape};
pub use tensor::Tensor;
