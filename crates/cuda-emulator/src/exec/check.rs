//! What instrumented kernels report.

use super::Grid;
use super::worker::{Thread, Worker};
use crate::emulator::emulator;
use crate::options::Options;
use crate::records::Counters;

/// Watches the accesses of a worker's blocks.
#[derive(Debug)]
pub(crate) struct Checker {}

impl Checker {
    pub(crate) fn new(_options: &Options) -> Self {
        Self {}
    }

    pub(crate) fn begin_grid(&mut self, _grid: &Grid) {}

    pub(crate) fn begin_block(&mut self, _dynamic: usize, _fixed: usize) {}

    pub(crate) fn end_block(&mut self) {}

    pub(crate) fn end_grid(&mut self) -> Counters {
        Counters::default()
    }
}

/// An access of a kernel to memory.
///
/// # Safety
/// `t` is the running thread.
pub(crate) unsafe extern "C" fn access(_: *mut Thread, _: usize, _: u32, _: u32, _: usize) {}

/// An event that is counted.
///
/// # Safety
/// `t` is the running thread.
pub(crate) unsafe extern "C" fn tally(_: *mut Thread, _: u32, _: u64) {}

/// Where an address lies, in words, with a leading space; empty if unknown.
pub(crate) fn describe(worker: &Worker, address: usize) -> String {
    const NEAR: usize = 4096;
    if let Some(text) = emulator().memory.describe(address) {
        return format!(" ({text})");
    }
    let (start, length) = (worker.block.shared as usize, worker.block.shared_bytes as usize);
    if length == 0 || address + NEAR < start || address > start + length + NEAR {
        return String::new();
    }
    let offset = address as isize - start as isize;
    format!(" (at {offset} of {length} bytes of dynamic shared memory)")
}
