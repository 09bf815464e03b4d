//! Gathers on tensor cores.

use bytemuck::NoUninit;

use super::Operands;
use super::pack::{Direction, Layout, Order, Packed};
use super::tiling::{SHARED, Tiling, balanced};
use super::window::{Map, Positions, Window};
use crate::cuda::launch::Grid;
use crate::cuda::module::{Kernel, kernels};
use crate::cuda::{Buffer, Cuda};
use crate::ops::Conv2d;
use crate::{DType, Result};

kernels! { nasrl_kernels::CONV2D_GATHER {
    GATHER_2: conv2d_gather_2<bf16, f16>(
        read T, read T, read u32, read f32, read T, write T; Geometry
    );
    GATHER_3: conv2d_gather_3<bf16, f16>(
        read T, read T, read u32, read f32, read T, write T; Geometry
    );
    GATHER_4: conv2d_gather_4<bf16, f16>(
        read T, read T, read u32, read f32, read T, write T; Geometry
    );
    GATHER_5: conv2d_gather_5<bf16, f16>(
        read T, read T, read u32, read f32, read T, write T; Geometry
    );
    GATHER_6: conv2d_gather_6<bf16, f16>(
        read T, read T, read u32, read f32, read T, write T; Geometry
    );
    GATHER_8: conv2d_gather_8<bf16, f16>(
        read T, read T, read u32, read f32, read T, write T; Geometry
    );
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Geometry {
    input: Map,
    output: Map,
    positions: Positions,
    tiling: Tiling,
    chunks: u32,
    blocks: u32,
    taps: u32,
    tiles: u32,
    relu: u32,
}

/// How a gather runs: its tiles and the kernel's width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    tiling: Tiling,
    layout: Layout,
    /// Filters of a block, in eights.
    width: usize,
    shared: usize,
}

/// Positions of a block of threads, 64 a warp.
const POSITIONS: usize = 256;

/// Most chunks of a block of channels: more would need a larger halo and save little.
const MOST_CHUNKS: usize = 8;

/// A row of 8 chunks of filters in shared memory, whose pitch is odd in chunks.
const FILTER_ROW: usize = 9 * 16;

/// Tiles of filters in shared memory.
const STAGES: usize = 3;

const WIDTHS: [usize; 6] = [2, 3, 4, 5, 6, 8];

impl Choice {
    /// The tiles of most positions, and then of most channels, whose halo fits; none if even that
    /// of one position does not.
    pub(super) fn of(window: &Window) -> Option<Self> {
        let eights = window.output.channels.div_ceil(8);
        let (needed, _) = balanced(eights, WIDTHS[WIDTHS.len() - 1]);
        let width = *WIDTHS.iter().find(|&&width| width >= needed)?;
        let chunks = window.input.channels.div_ceil(8);
        let budgets = (0..=POSITIONS.ilog2()).rev().map(|log| 1 << log);
        let mut choices = budgets.flat_map(|budget| {
            [MOST_CHUNKS, 4, 2, 1]
                .map(|most| Self::with(window, width, budget, balanced(chunks, most)))
        });
        choices.find(|choice| choice.shared <= SHARED)
    }

    fn with(
        window: &Window,
        width: usize,
        budget: usize,
        (chunks, blocks): (usize, usize),
    ) -> Self {
        let layout = Layout { block: width * 8, chunks, blocks, order: Order::FiltersFirst };
        let tiling = Tiling::of(window, budget, chunks);
        let ring = STAGES * layout.block * FILTER_ROW;
        let table = layout.tiles(window) * 8 * size_of::<u32>();
        let results = POSITIONS * (width | 1) * 16;
        let shared = (ring + table).saturating_add(tiling.halo_bytes()).max(results);
        Choice { tiling, layout, width, shared }
    }

    /// Bytes of the packed filters and the table of taps.
    pub(super) fn bytes(&self, window: &Window) -> usize {
        2 * self.layout.len(window) + 3 * window.taps() * size_of::<u32>()
    }

    fn kernel(&self) -> &'static Kernel<6, Geometry> {
        match self.width {
            2 => &GATHER_2,
            3 => &GATHER_3,
            4 => &GATHER_4,
            5 => &GATHER_5,
            6 => &GATHER_6,
            _ => &GATHER_8,
        }
    }
}

/// A gather that is ready to run.
pub(super) struct Gather {
    window: Window,
    choice: Choice,
    packed: Packed,
}

impl Gather {
    pub(super) fn new(
        on: &Cuda,
        geometry: &Conv2d,
        direction: Direction,
        (window, choice, dtype): (Window, Choice, DType),
    ) -> Result<Self> {
        let packed = Packed::new(on, geometry, direction, (&window, choice.layout, dtype))?;
        Ok(Gather { window, choice, packed })
    }

    pub(super) fn load(&mut self, on: &Cuda, filters: &Buffer, count: usize) -> Result<()> {
        self.packed.load(on, filters, count)
    }

    pub(super) fn run(&self, on: &Cuda, operands: &Operands<'_>, y: &mut Buffer) -> Result<()> {
        let Gather { window, choice, packed } = self;
        let images = operands.images;
        let layout = choice.layout;
        let geometry = Geometry {
            input: Map::of(images, window.input)?,
            output: Map::of(images, window.output)?,
            positions: window.positions()?,
            tiling: choice.tiling,
            chunks: layout.chunks as u32,
            blocks: layout.blocks as u32,
            taps: window.taps() as u32,
            tiles: layout.tiles(window) as u32,
            relu: u32::from(operands.relu),
        };
        let blocks = [choice.tiling.tiles(images), layout.filter_blocks(window), 1];
        let grid = Grid { blocks, threads: 128, shared: choice.shared as u32 };
        let arguments = operands.arguments(on, window, packed, y);
        on.launch(choice.kernel(), grid, arguments, geometry)
    }
}
