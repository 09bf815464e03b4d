//! How the positions of a convolution are cut into tiles whose halo fits in shared memory.

use bytemuck::{Pod, Zeroable};

use super::window::Window;

/// Bytes of shared memory that a block may take: two blocks run side by side on an A100, one on
/// GPUs that have less.
pub(super) const SHARED: usize = 80 << 10;

/// The tiling of `gather.cuh`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Tiling {
    pub(super) images: u32,
    pub(super) rows: u32,
    pub(super) columns: u32,
    pub(super) down: u32,
    pub(super) across: u32,
    pub(super) halo: [u32; 2],
    pub(super) step: u32,
    pub(super) lanes: u32,
    pub(super) pitch: u32,
}

/// Bytes that a block's sums of chunks take, see `chunk_sums.cuh`.
pub(super) const CHUNK_SUMS: usize = 4096;

/// Bytes of a chunk of 8 channels.
const CHUNK: usize = 16;

impl Tiling {
    /// Tiles of at most `budget` positions, of which the halo has `chunks` chunks of channels:
    /// whole rows, or images if several fit.
    pub(super) fn of(window: &Window, budget: usize, chunks: usize) -> Self {
        let [height, width] = window.each_axis(|axis| axis.positions);
        let (columns, across) = balanced(width, budget.min(WIDEST));
        let (rows, down) = balanced(height, budget / columns);
        let whole = across == 1 && down == 1;
        let images = if whole { budget / (rows * columns) } else { 1 };
        let step = window.axes[1].step_in;
        let lanes = window.axes[1].halo(columns).div_ceil(step);
        let halo = [window.axes[0].halo(rows), lanes * step];
        Tiling {
            images: images as u32,
            rows: rows as u32,
            columns: columns as u32,
            down: down as u32,
            across: across as u32,
            halo: halo.map(|pixels| pixels as u32),
            step: step as u32,
            lanes: lanes as u32,
            pitch: ((chunks | 1) * CHUNK) as u32,
        }
    }

    /// Bytes of the halo.
    pub(super) fn halo_bytes(&self) -> usize {
        let [height, width] = self.halo.map(|pixels| pixels as usize);
        let pixels = (self.images as usize).saturating_mul(height).saturating_mul(width);
        pixels.saturating_mul(self.pitch as usize)
    }

    /// Positions of a tile.
    pub(super) fn positions(&self) -> usize {
        (self.images * self.rows * self.columns) as usize
    }

    /// How many tiles there are.
    pub(super) fn tiles(&self, images: usize) -> usize {
        images.div_ceil(self.images as usize) * (self.down * self.across) as usize
    }
}

/// Wider tiles have fewer rows, and so more of a halo for each position.
const WIDEST: usize = 32;

/// Parts of at most `most` of a whole, as even as they can be: their size and number.
pub(super) fn balanced(whole: usize, most: usize) -> (usize, usize) {
    let parts = whole.div_ceil(most);
    let size = whole.div_ceil(parts);
    (size, whole.div_ceil(size))
}
