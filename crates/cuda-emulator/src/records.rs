//! What the emulator remembers about the work it executed.

use std::collections::BTreeMap;

/// One execution of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The kernel's name.
    pub kernel: String,
    /// The name of its program, as given to `nvrtcCreateProgram`.
    pub module: String,
    /// The device.
    pub device: usize,
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block in x, y and z.
    pub block: [u32; 3],
    /// Dynamic shared memory of a block in bytes.
    pub shared: u32,
    /// What it did; present with [`crate::Options::count`].
    pub counters: Option<Counters>,
}

/// A `__global__` function of a module that was compiled or loaded in this process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kernel {
    /// The name of the program, as given to `nvrtcCreateProgram`.
    pub module: String,
    /// The kernel's name as `cuModuleGetFunction` knows it.
    pub kernel: String,
    /// How often it was executed to its end.
    pub executed: u64,
}

/// An explanation of an error, also of one that the host never looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The `CUresult` that the host sees, or will see.
    pub status: u32,
    /// The kernel that was running, if one was.
    pub kernel: Option<String>,
    /// What is wrong and where: thread, block and source line for errors of kernels.
    pub text: String,
}

/// What all threads of a launch did together. Warp-level figures group the lanes of a warp by
/// source instruction; widths are those of the instrumented C++ accesses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// `mma` and `wgmma` instructions, counted once a warp.
    pub mma: u64,
    /// Multiply-adds of these instructions.
    pub mma_multiply_adds: u64,
    /// Bytes that threads loaded from global memory.
    pub global_bytes_read: u64,
    /// Bytes that threads stored to global memory.
    pub global_bytes_written: u64,
    /// Sectors of 32 bytes that the warps' loads touched, counted once a warp instruction.
    pub global_sectors_read: u64,
    /// Sectors of 32 bytes that the warps' stores touched, counted once a warp instruction.
    pub global_sectors_written: u64,
    /// Different sectors of 32 bytes that the launch read, without copies by tensor maps: what a
    /// perfect cache would read from memory.
    pub global_distinct_sectors_read: u64,
    /// Different sectors of 32 bytes that the launch wrote.
    pub global_distinct_sectors_written: u64,
    /// Accesses to global memory by width: 1, 2, 4, 8 and 16 bytes.
    pub global_widths: [u64; 5],
    /// Accesses to shared memory by width: 1, 2, 4, 8 and 16 bytes.
    pub shared_widths: [u64; 5],
    /// Passes that warps' accesses to shared memory needed.
    pub shared_passes: u64,
    /// Those passes beyond the least possible for the widths: bank conflicts.
    pub shared_bank_conflicts: u64,
    /// The bank conflicts by source line, as `file:line` with the lines it was inlined into.
    pub bank_conflict_lines: BTreeMap<String, u64>,
}

/// What was executed of a source file: a program or one of its headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCoverage {
    /// The name of the program, or of the header as in its `#include`.
    pub file: String,
    /// How often each line was executed that has code in any kernel compiled so far; lines of
    /// templates count for all instances together.
    pub lines: BTreeMap<u32, u64>,
}
