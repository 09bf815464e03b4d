//! Runs CUDA host code and CUDA kernels on the CPU, for tests on machines without a GPU.
//!
//! [`install`] makes this process believe that it has a CUDA driver and NVRTC: later calls of
//! stock `cudarc` (with `dynamic-loading`) reach the functions of this crate. Kernels are compiled
//! by `g++` after a token-level rewrite and executed block by block; every CUDA thread is a fiber
//! that gives way at barriers and warp collectives only. Work is asynchronous to the host as on a
//! device, and so are errors.
//!
//! ```no_run
//! let emulator = nasrl_cuda_emulator::install(&Default::default())?;
//! // ... any cudarc code ...
//! for launch in emulator.launches() {
//!     println!("{} {:?} x {:?}", launch.kernel, launch.grid, launch.block);
//! }
//! # Ok::<(), nasrl_cuda_emulator::Error>(())
//! ```
//!
//! # Finding mistakes
//! Without further ado a kernel stops with a [`Report`] at a fault, an assertion, a deadlock (the
//! waiting threads by source line) and a misused warp collective. Device memory and shared memory
//! start as NaN, asynchronous copies do nothing until they are waited for, and each buffer ends at
//! a guard page. Errors of kernels stay with their device, as on hardware: a test of one takes a
//! process, or a device of [`Options::devices`], of its own.
//! * [`Options::checked`] looks at every access: bounds, freed buffers, unwritten shared memory,
//!   races in shared and global memory, copies that were not waited for.
//! * [`Options::thread_order`] and [`Options::stream_order`] shuffle what may be shuffled;
//!   [`Options::repeats`] executes every launch in several orders and compares what it leaves.
//! * [`Options::count`] fills [`Counters`]: global traffic, widths, bank conflicts by line, `mma`.
//! * [`Options::coverage`] tells which source lines ran.
//! * [`Emulator::fail_allocations`] and [`Emulator::fail_launch`] order failures.
//!
//! Compiled kernels are kept in `$NASRL_EMULATOR_CACHE` or the user's cache directory; it may be
//! removed when no test runs.
//!
//! # How it is built
//! | module | idea |
//! |---|---|
//! | `trampoline` | a shared object that bears the driver's name and jumps to our functions |
//! | `driver` | the driver API, file by file: device, memory, stream, graph, module, launch |
//! | `nvrtc` | options, preprocessing, rewriting of kernels to host C++ |
//! | `module` | compiling a rewritten source, loading it, finding kernels and variables in it |
//! | `memory` | device memory behind guard pages |
//! | `engine`, `capture` | streams, events and graphs; one thread that executes them |
//! | `coverage` | which lines of the kernels' sources were executed |
//! | `exec` | a grid: workers, fibers, barriers, warp collectives, faults, checks, counters |
//! | `shim/` | the C++ headers that kernels see instead of the toolkit's |
//!
//! # What it does not know
//! Time, caches, the weak memory order between blocks, clusters, textures, dynamic parallelism.
//! Inline PTX cannot run: a kernel that needs an instruction calls a function with a body under
//! `#ifdef CUDA_EMU`, see `shim/emu.h` for what such bodies may call.
//!
//! x86-64 Linux with g++ 12 or later only; elsewhere [`install`] returns [`Error::Unsupported`].

mod error;
mod options;
mod records;

pub use error::Error;
pub use options::{Options, Order};
pub use records::{Counters, FileCoverage, Kernel, Launch, Report};

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod cache;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod capture;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod coverage;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod driver;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod emulator;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod engine;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod exec;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod memory;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod module;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod nvrtc;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod status;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod trampoline;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
#[path = "unsupported.rs"]
mod emulator;

pub use emulator::{Emulator, install};
