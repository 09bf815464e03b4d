use bytemuck::NoUninit;

use super::launch::Grid;
use crate::ops::{Rows, Sum};

/// Rows that a slice should have: enough to keep a block busy.
const ROWS: usize = 256;

/// Most slices: more would make the second launch the longer one.
const MOST: usize = 256;

/// How sums over rows are cut into slices: the geometry of `columns.cuh`. The shape alone decides,
/// so that the same operands give the same bits on every GPU.
#[derive(Clone, Copy, Debug, NoUninit)]
#[repr(C)]
pub(super) struct Slices {
    rows: u64,
    channels: u64,
    rows_a_slice: u64,
    slices: u32,
    add: u32,
}

impl Slices {
    pub(super) fn of(rows: Rows, sum: Sum) -> Self {
        let wanted = rows.count.div_ceil(ROWS).clamp(1, MOST);
        let rows_a_slice = rows.count.div_ceil(wanted).max(1);
        Slices {
            rows: rows.count as u64,
            channels: rows.channels as u64,
            rows_a_slice: rows_a_slice as u64,
            slices: rows.count.div_ceil(rows_a_slice).max(1) as u32,
            add: u32::from(sum == Sum::Add),
        }
    }

    /// Partial sums that each row has made for itself, to be added to what is there.
    pub(super) fn added(rows: usize, channels: usize) -> Self {
        Slices {
            rows: rows as u64,
            channels: channels as u64,
            rows_a_slice: 1,
            slices: rows as u32,
            add: 1,
        }
    }

    /// How many partial sums there are.
    pub(super) fn partial(self) -> usize {
        self.slices as usize * self.channels as usize
    }

    /// The grid of the launch that makes them.
    pub(super) fn grid(self) -> Grid {
        let blocks = [(self.channels as usize).div_ceil(32), self.slices as usize, 1];
        Grid { blocks, ..Grid::blocks(0) }
    }
}
