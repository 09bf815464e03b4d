//! What kind of machine is emulated, and how.

use std::time::Duration;

/// The emulated machine and the way it executes. Two installs in one process must agree on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Number of devices, each with memory and streams of its own; with none there is a driver that
    /// finds no device.
    pub devices: usize,
    /// What `cuDriverGetVersion` reports: 1000 major + 10 minor.
    pub driver_version: i32,
    /// Major and minor compute capability; decides the limits of shared memory.
    pub compute_capability: (i32, i32),
    /// Streaming multiprocessors a device reports.
    pub multiprocessors: u32,
    /// Memory of a device in bytes.
    pub memory: usize,
    /// CPU threads that execute the blocks of a grid.
    pub workers: usize,
    /// Bytes of stack of a CUDA thread.
    pub stack: usize,
    /// How long a block may spin without progress before the launch fails.
    pub spin_limit: Duration,
    /// Checks every access of a kernel: bounds, freed memory, unwritten shared memory, races
    /// within a block. Slower by a factor of two to eight; one worker. Structs that a call which is
    /// not inlined returns straight into memory, or takes from there by value, are not seen.
    pub checked: bool,
    /// Fills [`crate::Counters`] for every launch.
    pub count: bool,
    /// Counts executions of source lines, for [`crate::Emulator::coverage`]. Slower: kernels are
    /// compiled without optimization; reports name fewer lines. Lines that only call a
    /// `__forceinline__` function are not among them if accesses are checked or counted too.
    pub coverage: bool,
    /// The order in which the blocks of a grid begin, and runnable threads of a block go on.
    pub thread_order: Order,
    /// In how many shuffled orders of blocks and threads every launch is executed again, each time
    /// from the memory that it found; it fails if it leaves other bytes than in
    /// [`Options::thread_order`].
    pub repeats: u32,
    /// The order in which work at the heads of different streams, and independent nodes of a
    /// graph, is executed.
    pub stream_order: Order,
    /// Writes every report to standard error as well.
    pub print: bool,
}

/// An order in which independent things are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By index or by time of issue.
    Ascending,
    /// Any order that the rules allow, drawn from a seed. Results must not depend on it.
    Shuffled(u64),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            devices: 1,
            driver_version: 13_000,
            compute_capability: (9, 0),
            multiprocessors: 4,
            memory: 1 << 30,
            workers: 2,
            stack: 64 << 10,
            spin_limit: Duration::from_secs(60),
            checked: false,
            count: false,
            coverage: false,
            thread_order: Order::Ascending,
            repeats: 0,
            stream_order: Order::Ascending,
            print: true,
        }
    }
}
