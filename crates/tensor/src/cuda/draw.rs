use bytemuck::NoUninit;

use crate::ops::{RowDraw, Rows};

/// The geometry of draws from rows, in `categorical.cu` and `bernoulli.cu`.
#[derive(Clone, Copy, Debug, NoUninit)]
#[repr(C)]
pub(super) struct Draw {
    rows: u64,
    channels: u64,
    key: [u32; 2],
    first: u32,
    step: u32,
}

impl Draw {
    pub(super) fn new(rows: Rows, draw: RowDraw) -> Self {
        let RowDraw { key, first, step } = draw;
        Draw { rows: rows.count as u64, channels: rows.channels as u64, key: key.0, first, step }
    }
}
