//! The gradient of filters on tensor cores.

use bytemuck::NoUninit;

use super::tiling::{SHARED, Tiling, balanced};
use super::window::{Map, Window};
use super::{Gradient, Slices};
use crate::Result;
use crate::cuda::launch::Grid;
use crate::cuda::module::{Kernel, kernels};
use crate::cuda::{Buffer, Cuda};

kernels! { nasrl_kernels::CONV2D_WGRAD {
    WGRAD_2_3: conv2d_wgrad_2_3<bf16, f16>(read T, read T, read u32, write f32; Geometry);
    WGRAD_3_3: conv2d_wgrad_3_3<bf16, f16>(read T, read T, read u32, write f32; Geometry);
    WGRAD_4_3: conv2d_wgrad_4_3<bf16, f16>(read T, read T, read u32, write f32; Geometry);
    WGRAD_2_9: conv2d_wgrad_2_9<bf16, f16>(read T, read T, read u32, write f32; Geometry);
    WGRAD_3_9: conv2d_wgrad_3_9<bf16, f16>(read T, read T, read u32, write f32; Geometry);
    WGRAD_4_9: conv2d_wgrad_4_9<bf16, f16>(read T, read T, read u32, write f32; Geometry);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Geometry {
    x: Map,
    dy: Map,
    step: [u32; 2],
    origin: [u32; 2],
    tiling: Tiling,
    tiles: u32,
    rows: u32,
    taps: u32,
    chunks: u32,
    halo_chunks: u32,
}

/// How the gradient of a forward window is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) tiling: Tiling,
    /// Sixteens of filters of a block of threads, and how many blocks it takes for all.
    filters: usize,
    filter_groups: usize,
    /// Blocks of columns of a warp, and how many blocks of threads it takes for all.
    columns: usize,
    column_groups: usize,
    rows: usize,
    halo_chunks: usize,
    shared: usize,
}

/// Most positions of a tile.
const POSITIONS: usize = 256;

const WARPS: usize = 4;

impl Choice {
    /// The cut with the fewest products of zeros, and of those with the largest tiles; none if not
    /// even the halo of 32 positions fits.
    pub(super) fn of(window: &Window) -> Option<Self> {
        let columns = window.taps() * window.input.channels.div_ceil(8);
        let cost = |width: usize| columns.div_ceil(WARPS * width) * width;
        let widths = if cost(9) <= cost(3) { [9, 3] } else { [3, 9] };
        let budgets = [POSITIONS, 128, 64, 32, 16, 8, 4, 2, 1];
        let choices = budgets.into_iter().flat_map(|budget| widths.map(|width| (budget, width)));
        choices
            .map(|(budget, width)| Self::with(window, budget, width))
            .find(|choice| choice.shared <= SHARED)
    }

    fn with(window: &Window, budget: usize, columns: usize) -> Self {
        let (filters, filter_groups) = balanced(window.output.channels.div_ceil(16), 4);
        let filters = filters.max(2);
        let (taps, chunks) = (window.taps(), window.input.channels.div_ceil(8));
        let group = WARPS * columns;
        let column_groups = (taps * chunks).div_ceil(group);
        let chunks_of = |index: usize| {
            let last = ((index + 1) * group).min(taps * chunks) - 1;
            last / taps - index * group / taps + 1
        };
        let halo_chunks = (0..column_groups).map(chunks_of).max().unwrap_or(1);
        let tiling = Tiling::of(window, budget, halo_chunks);
        let rows = tiling.positions().next_multiple_of(32);
        let row = size_of::<u32>() + ((2 * filters) | 1) * 16;
        let shared = (rows * row).saturating_add(tiling.halo_bytes());
        Choice { tiling, filters, filter_groups, columns, column_groups, rows, halo_chunks, shared }
    }

    /// Blocks of threads for a slice.
    pub(super) fn blocks(&self) -> usize {
        self.filter_groups * self.column_groups
    }

    fn kernel(&self) -> &'static Kernel<4, Geometry> {
        match (self.filters, self.columns) {
            (2, 3) => &WGRAD_2_3,
            (3, 3) => &WGRAD_3_3,
            (_, 3) => &WGRAD_4_3,
            (2, _) => &WGRAD_2_9,
            (3, _) => &WGRAD_3_9,
            (_, _) => &WGRAD_4_9,
        }
    }

    /// Writes the slices' parts of the gradient.
    pub(super) fn run(
        &self,
        on: &Cuda,
        (window, taps): (&Window, &Buffer),
        gradient: &Gradient<'_>,
        partial: &mut Buffer,
        slices: Slices,
    ) -> Result<()> {
        let positions = window.positions()?;
        let geometry = Geometry {
            x: Map::of(gradient.images, window.input)?,
            dy: Map::of(gradient.images, window.output)?,
            step: positions.step_in,
            origin: positions.origin,
            tiling: self.tiling,
            tiles: self.tiling.tiles(gradient.images) as u32,
            rows: self.rows as u32,
            taps: window.taps() as u32,
            chunks: window.input.channels.div_ceil(8) as u32,
            halo_chunks: self.halo_chunks as u32,
        };
        let blocks = [slices.count, self.column_groups, self.filter_groups];
        let grid = Grid { blocks, threads: 128, shared: self.shared as u32 };
        on.launch(self.kernel(), grid, gradient.arguments(window, taps, partial, slices), geometry)
    }
}
