//! Filters in the order in which gathers read them.

use bytemuck::{NoUninit, Pod, Zeroable};

use super::window::Window;
use crate::cuda::buffer::Argument;
use crate::cuda::launch::Grid;
use crate::cuda::module::kernels;
use crate::cuda::{Buffer, Cuda};
use crate::ops::Conv2d;
use crate::{DType, Memory, Result};

kernels! { nasrl_kernels::CONV2D_PACK {
    PACK_F32: conv2d_pack_f32(; Jobs);
    PACK_BF16: conv2d_pack_bf16(; Jobs);
    PACK_F16: conv2d_pack_f16(; Jobs);
} }

/// Filters of a launch: as many as 4 KiB of parameters have room for.
const MOST_JOBS: usize = 64;

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Jobs {
    jobs: [Job; MOST_JOBS],
    count: u64,
}

/// Filters to pack: the addresses of the operands, and the first of the blocks.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Job {
    filters: u64,
    sources: u64,
    packed: u64,
    eights: u64,
    steps: [u64; 2],
    block: u64,
}

/// How the filters of a window are packed, see `conv2d_gather.cu` and `conv2d_tiled.cu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Filters of a block, a multiple of 8.
    pub(super) block: usize,
    /// Chunks of 8 channels of a block of channels.
    pub(super) chunks: usize,
    /// Blocks of channels.
    pub(super) blocks: usize,
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

/// Which of a filter's two channels a gather sums over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// The input's.
    Fprop,
    /// The output's.
    Dgrad,
}

impl Layout {
    /// Chunks of a tile.
    fn tile(self) -> usize {
        match self.order {
            Order::FiltersFirst => 8,
            Order::ChannelsFirst => 1,
        }
    }

    /// Tiles of a block of channels.
    pub(super) fn tiles(self, window: &Window) -> usize {
        (window.taps() * self.chunks).div_ceil(self.tile())
    }

    /// Blocks of filters.
    pub(super) fn filter_blocks(self, window: &Window) -> usize {
        window.output.channels.div_ceil(self.block)
    }

    /// Elements of a window's packed filters.
    pub(super) fn len(self, window: &Window) -> usize {
        let tiles = self.filter_blocks(window) * self.blocks * self.tiles(window);
        tiles * self.block * self.tile() * 8
    }

    /// Appends where the elements of a window's packed filters come from, for each eight of them.
    fn append_sources(
        self,
        (window, direction): (&Window, Direction),
        filters: Filters,
        sources: &mut Vec<[u32; 2]>,
    ) {
        let taps = window.filter_taps();
        let [filter_step, channel_step] = match direction {
            Direction::Fprop => [filters.filter, 1],
            Direction::Dgrad => [1, filters.filter],
        };
        let mut append = |filter: usize, channel: usize, tap: Option<&usize>| {
            let count = |all: usize, from: usize| all.saturating_sub(from).min(8);
            let of_filters = count(window.output.channels, filter);
            let of_channels = count(window.input.channels, channel);
            // Eight channels of a filter, or eight filters of a channel.
            let (count, other, step) = match self.order {
                Order::FiltersFirst => (of_channels, of_filters, channel_step),
                Order::ChannelsFirst => (of_filters, of_channels, filter_step),
            };
            sources.push(match tap {
                Some(tap) if count > 0 && other > 0 => {
                    let first =
                        filter * filter_step + channel * channel_step + tap * filters.channels;
                    [first as u32, count as u32 | u32::from(step != 1) << 4]
                }
                _ => [0, 0],
            });
        };
        for block in 0..self.filter_blocks(window) * self.blocks {
            let (filter, chunk) =
                (block / self.blocks * self.block, block % self.blocks * self.chunks);
            for tile in 0..self.tiles(window) {
                let place = |chunk_of_tile| {
                    let index = tile * self.tile() + chunk_of_tile;
                    ((chunk + index % self.chunks) * 8, taps.get(index / self.chunks))
                };
                match self.order {
                    Order::FiltersFirst => {
                        for (in_block, chunk) in product(self.block, self.tile()) {
                            let (channel, tap) = place(chunk);
                            append(filter + in_block, channel, tap);
                        }
                    }
                    Order::ChannelsFirst => {
                        let (channel, tap) = place(0);
                        for (in_chunk, eight) in product(8, self.block / 8) {
                            append(filter + eight * 8, channel + in_chunk, tap);
                        }
                    }
                }
            }
        }
    }
}

fn product(a: usize, b: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..a).flat_map(move |i| (0..b).map(move |j| (i, j)))
}

/// Distances in KRSC filters: of filters, and of taps.
#[derive(Clone, Copy)]
struct Filters {
    filter: usize,
    channels: usize,
}

/// The packed filters of some windows on a device, one after another, and their tables of taps.
pub(super) struct Packed {
    /// The two steps of `conv2d_pack.cu`.
    steps: [u64; 2],
    /// `[eights, 2]`, see `conv2d_pack.cu`.
    sources: Buffer,
    filters: Buffer,
    taps: Buffer,
}

/// What is packed: windows that share a layout.
pub(super) type Group<'a> = (&'a [Window], Direction, Layout);

impl Packed {
    /// Room for the filters of a convolution, packed for groups of windows in their order.
    pub(super) fn new(
        on: &Cuda,
        geometry: &Conv2d,
        dtype: DType,
        groups: &[Group<'_>],
    ) -> Result<Self> {
        let channels = geometry.channels;
        let filter = geometry.kernel[0] * geometry.kernel[1] * channels;
        let (mut sources, mut taps) = (Vec::new(), Vec::new());
        for (windows, direction, layout) in groups {
            for window in *windows {
                let filters = Filters { filter, channels };
                layout.append_sources((window, *direction), filters, &mut sources);
                taps.extend(window.places());
            }
        }
        let upload = |words: &[u32]| {
            let mut buffer = on.zeros(DType::U32, words.len())?;
            on.write(words, &mut buffer)?;
            Ok(buffer)
        };
        let filters = on.zeros(dtype, 8 * sources.len())?;
        let (sources, taps) = (upload(sources.as_flattened())?, upload(&taps)?);
        Ok(Packed { steps: [1, filter as u64], sources, filters, taps })
    }

    /// Bytes that it takes for windows that share a layout.
    pub(super) fn bytes((windows, _, layout): Group<'_>, dtype: DType) -> usize {
        let of_window = |window: &Window| {
            let len = layout.len(window);
            len * dtype.size() + (len / 4 + 2 * window.taps()) * size_of::<u32>()
        };
        windows.iter().map(of_window).sum()
    }

    /// The packed filters and the tables of taps.
    pub(super) fn buffers(&self) -> [&Buffer; 2] {
        [&self.filters, &self.taps]
    }
}

/// Takes new f32 filters for each of these, with a launch for each dtype.
pub(super) fn load(on: &Cuda, all: &mut [(&mut Packed, Argument<'_>)]) -> Result<()> {
    for (dtype, kernel) in
        [(DType::F32, &PACK_F32), (DType::BF16, &PACK_BF16), (DType::F16, &PACK_F16)]
    {
        let mut alike: Vec<_> =
            all.iter_mut().filter(|(packed, _)| packed.filters.dtype() == dtype).collect();
        for some in alike.chunks_mut(MOST_JOBS) {
            let mut jobs = Jobs { jobs: [Job::zeroed(); MOST_JOBS], count: some.len() as u64 };
            let mut blocks = 0;
            for ((packed, filters), job) in some.iter_mut().zip(&mut jobs.jobs) {
                let Packed { steps, sources, filters: to, .. } = &mut **packed;
                let eights = sources.capacity() / 2;
                *job = Job {
                    filters: on.address(*filters, DType::F32)?,
                    sources: on.address(sources.read(2 * eights), DType::U32)?,
                    packed: on.address(to.write(8 * eights), dtype)?,
                    eights: eights as u64,
                    steps: *steps,
                    block: blocks as u64,
                };
                blocks += eights.div_ceil(256);
            }
            on.launch(kernel, Grid::blocks(blocks), [], jobs)?;
        }
    }
    Ok(())
}
