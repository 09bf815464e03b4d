//! What stands in for the emulator where it does not exist.

use crate::{Error, FileCoverage, Kernel, Launch, Options, Report};

/// The emulator; on this platform there is never one.
#[derive(Debug)]
pub enum Emulator {}

/// Always [`Error::Unsupported`] on this platform.
pub fn install(_options: &Options) -> Result<&'static Emulator, Error> {
    Err(Error::Unsupported)
}

impl Emulator {
    /// Launches executed since the last [`Emulator::clear_launches`].
    pub fn launches(&self) -> Vec<Launch> {
        match *self {}
    }
    /// Forgets the launches recorded so far.
    pub fn clear_launches(&self) {
        match *self {}
    }
    /// Every kernel compiled or loaded so far.
    pub fn kernels(&self) -> Vec<Kernel> {
        match *self {}
    }
    /// How often each function of the driver was called so far.
    pub fn calls(&self) -> std::collections::BTreeMap<&'static str, u64> {
        match *self {}
    }
    /// Explanations of the errors met so far.
    pub fn reports(&self) -> Vec<Report> {
        match *self {}
    }
    /// Which lines of which sources were executed so far.
    pub fn coverage(&self) -> Result<Vec<FileCoverage>, Error> {
        match *self {}
    }
    /// Makes allocations fail from the `after`-th on.
    pub fn fail_allocations(&self, _after: usize) {
        match *self {}
    }
    /// Makes the next launch of a kernel fail.
    pub fn fail_launch(&self, _kernel: &str, _status: u32) {
        match *self {}
    }
}
