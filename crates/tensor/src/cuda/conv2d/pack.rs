//! Filters in the order in which gathers read them, and the table of their taps.

use bytemuck::NoUninit;

use super::window::Window;
use crate::cuda::launch::Grid;
use crate::cuda::module::kernels;
use crate::cuda::{Buffer, Cuda};
use crate::ops::Conv2d;
use crate::{DType, Memory, Result};

kernels! { nasrl_kernels::CONV2D_PACK {
    PACK: conv2d_pack<f32, bf16, f16>(read f32, read u32, write T; Packing);
} }

#[derive(Clone, Copy, Debug, NoUninit)]
#[repr(C)]
struct Packing {
    count: u64,
    filter_step: u64,
    channel_step: u64,
    filters: u32,
    channels: u32,
    block: u32,
    blocks: u32,
    chunks: u32,
    tiles: u32,
    taps: u32,
    chunks_a_tile: u32,
    filter_pitch: u32,
    chunk_pitch: u32,
    element_pitch: u32,
    reserved: u32,
}

/// How filters are packed, see `conv2d_pack.cu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Filters of a block.
    pub(super) block: usize,
    /// Chunks of 8 channels of a block of channels.
    pub(super) chunks: usize,
    /// Blocks of channels.
    pub(super) blocks: usize,
    /// The order in a tile.
    pub(super) order: Order,
}

/// The order of a tile of filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// `[filters, 8 chunks, 8 channels]`, for tensor cores.
    FiltersFirst,
    /// `[8 channels of one chunk, filters]`.
    ChannelsFirst,
}

impl Layout {
    fn chunks_a_tile(self) -> usize {
        match self.order {
            Order::FiltersFirst => 8,
            Order::ChannelsFirst => 1,
        }
    }

    /// Tiles of a block of channels.
    pub(super) fn tiles(self, window: &Window) -> usize {
        (window.taps() * self.chunks).div_ceil(self.chunks_a_tile())
    }

    /// Blocks of filters.
    pub(super) fn filter_blocks(self, window: &Window) -> usize {
        window.output.channels.div_ceil(self.block)
    }

    /// Elements of the packed filters.
    pub(super) fn len(self, window: &Window) -> usize {
        let tiles = self.filter_blocks(window) * self.blocks * self.tiles(window);
        tiles * self.block * self.chunks_a_tile() * 8
    }
}

/// Which of a filter's two channels a gather sums over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// The input's.
    Fprop,
    /// The output's.
    Dgrad,
}

/// Packed filters of a window on a device.
pub(super) struct Packed {
    packing: Packing,
    len: usize,
    /// `[3, taps]`, see [`Window::table`].
    pub(super) taps: Buffer,
    filters: Buffer,
}

impl Packed {
    /// Room for filters of a convolution, and the table of its taps.
    pub(super) fn new(
        on: &Cuda,
        geometry: &Conv2d,
        direction: Direction,
        (window, layout, dtype): (&Window, Layout, DType),
    ) -> Result<Self> {
        let len = layout.len(window);
        let filter = geometry.kernel[0] * geometry.kernel[1] * geometry.channels;
        let [filter_step, channel_step] = match direction {
            Direction::Fprop => [filter, 1],
            Direction::Dgrad => [1, filter],
        };
        let (filter_pitch, chunk_pitch, element_pitch) = match layout.order {
            Order::FiltersFirst => (64, 8, 1),
            Order::ChannelsFirst => (1, 0, layout.block),
        };
        let packing = Packing {
            count: (len / 8) as u64,
            filter_step: filter_step as u64,
            channel_step: channel_step as u64,
            filters: window.output.channels as u32,
            channels: window.input.channels as u32,
            block: layout.block as u32,
            blocks: layout.blocks as u32,
            chunks: layout.chunks as u32,
            tiles: layout.tiles(window) as u32,
            taps: window.taps() as u32,
            chunks_a_tile: layout.chunks_a_tile() as u32,
            filter_pitch,
            chunk_pitch,
            element_pitch: element_pitch as u32,
            reserved: 0,
        };
        let taps = table(on, window, geometry.channels)?;
        Ok(Packed { packing, len, taps, filters: on.zeros(dtype, len)? })
    }

    /// Takes new filters.
    pub(super) fn load(&mut self, on: &Cuda, filters: &Buffer, count: usize) -> Result<()> {
        let taps = 3 * self.packing.taps as usize;
        let arguments = [filters.read(count), self.taps.read(taps), self.filters.write(self.len)];
        on.launch(&PACK, Grid::over(self.len / 8, 256), arguments, self.packing)
    }

    /// The filters and how many elements they have.
    pub(super) fn filters(&self) -> (&Buffer, usize) {
        (&self.filters, self.len)
    }
}

/// The table of a window's taps on a device, for filters of so many channels.
pub(super) fn table(on: &Cuda, window: &Window, channels: usize) -> Result<Buffer> {
    let table = window.table(channels);
    let mut taps = on.zeros(DType::U32, table.len())?;
    on.write(&table, &mut taps)?;
    Ok(taps)
}
