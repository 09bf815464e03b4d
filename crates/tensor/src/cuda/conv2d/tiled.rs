//! Passes of f32, without tensor cores.

use bytemuck::NoUninit;

use super::pack::{Direction, Layout, Order, Packed};
use super::window::{Map, Positions, Window};
use super::{Gradient, Operands, Slices};
use crate::cuda::launch::Grid;
use crate::cuda::module::kernels;
use crate::cuda::{Buffer, Cuda};
use crate::ops::Conv2d;
use crate::{DType, Result};

kernels! { nasrl_kernels::CONV2D_TILED {
    GATHER: conv2d_tiled_gather(
        read f32, read f32, read u32, read f32, read f32, write f32; Geometry
    );
    WGRAD: conv2d_tiled_wgrad(read f32, read f32, read u32, write f32; Geometry);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Geometry {
    input: Map,
    output: Map,
    positions: Positions,
    taps: u32,
    relu: u32,
    positions_a_slice: u64,
}

/// Rows and columns of a block's results.
const SIDE: usize = 64;

/// A gather that is ready to run.
pub(super) struct TiledGather {
    window: Window,
    layout: Layout,
    packed: Packed,
}

impl TiledGather {
    pub(super) fn new(
        on: &Cuda,
        geometry: &Conv2d,
        direction: Direction,
        window: Window,
    ) -> Result<Self> {
        let layout = layout(&window);
        let packed = Packed::new(on, geometry, direction, (&window, layout, DType::F32))?;
        Ok(TiledGather { window, layout, packed })
    }

    /// Bytes of the packed filters and the table of taps.
    pub(super) fn bytes(window: &Window) -> usize {
        4 * layout(window).len(window) + 3 * window.taps() * size_of::<u32>()
    }

    pub(super) fn load(&mut self, on: &Cuda, filters: &Buffer, count: usize) -> Result<()> {
        self.packed.load(on, filters, count)
    }

    pub(super) fn run(&self, on: &Cuda, operands: &Operands<'_>, y: &mut Buffer) -> Result<()> {
        let TiledGather { window, layout, packed } = self;
        let mut geometry = Geometry::of(window, operands.images)?;
        geometry.relu = u32::from(operands.relu);
        let positions = operands.images * window.axes[0].positions * window.axes[1].positions;
        let blocks = [positions.div_ceil(SIDE), layout.filter_blocks(window), 1];
        let arguments = operands.arguments(on, window, packed, y);
        on.launch(&GATHER, Grid { blocks, ..Grid::blocks(0) }, arguments, geometry)
    }
}

/// The gradient of the filters of a forward window.
pub(super) fn wgrad(
    on: &Cuda,
    (window, taps): (&Window, &Buffer),
    gradient: &Gradient<'_>,
    partial: &mut Buffer,
    slices: Slices,
) -> Result<()> {
    let mut geometry = Geometry::of(window, gradient.images)?;
    geometry.positions_a_slice = slices.pixels as u64;
    let blocks = [slices.count, columns(window).div_ceil(SIDE), filters(window).div_ceil(SIDE)];
    let arguments = gradient.arguments(window, taps, partial, slices);
    on.launch(&WGRAD, Grid { blocks, ..Grid::blocks(0) }, arguments, geometry)
}

/// Blocks that [`wgrad`] takes for a slice.
pub(super) fn wgrad_blocks(window: &Window) -> usize {
    columns(window).div_ceil(SIDE) * filters(window).div_ceil(SIDE)
}

fn columns(window: &Window) -> usize {
    window.taps() * window.input.channels
}

fn filters(window: &Window) -> usize {
    window.output.channels
}

fn layout(window: &Window) -> Layout {
    let chunks = window.input.channels.div_ceil(8);
    Layout { block: SIDE, chunks, blocks: 1, order: Order::ChannelsFirst }
}

impl Geometry {
    fn of(window: &Window, images: usize) -> Result<Self> {
        Ok(Geometry {
            input: Map::of(images, window.input)?,
            output: Map::of(images, window.output)?,
            positions: window.positions()?,
            taps: window.taps() as u32,
            relu: 0,
            positions_a_slice: 0,
        })
    }
}
