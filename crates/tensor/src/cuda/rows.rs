use bytemuck::NoUninit;

use super::launch::Grid;
use super::module::Kernel;
use crate::ops;

/// The geometry of `rows.cuh`.
#[derive(Clone, Copy, Debug, NoUninit)]
#[repr(C)]
pub(super) struct Rows {
    count: u64,
    channels: u64,
}

impl From<ops::Rows> for Rows {
    fn from(rows: ops::Rows) -> Self {
        Rows { count: rows.count as u64, channels: rows.channels as u64 }
    }
}

/// The forms of a kernel that gives a row to a team of threads, see `reduce.cuh`.
pub(super) struct Teams<const N: usize, G: 'static> {
    /// A warp a row.
    pub(super) warp: &'static Kernel<N, G>,
    /// A block a row.
    pub(super) block: &'static Kernel<N, G>,
}

/// Rows up to this length are a warp's: at most 32 elements a lane.
const LONGEST_OF_A_WARP: usize = 1024;

impl<const N: usize, G> Teams<N, G> {
    /// The kernel for rows of this shape, and its grid.
    pub(super) fn choose(&self, rows: ops::Rows) -> (&'static Kernel<N, G>, Grid) {
        match rows.channels <= LONGEST_OF_A_WARP {
            true => (self.warp, Grid::over(rows.count, 8)),
            false => (self.block, Grid::blocks(rows.count)),
        }
    }
}
