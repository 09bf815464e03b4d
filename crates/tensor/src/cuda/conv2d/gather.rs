//! Forward passes and gradients of the input as gathers.

use bytemuck::{NoUninit, Pod, Zeroable};

use super::Operands;
use super::pack::{Layout, Order, Packed};
use super::segments::{Sinks, Source};
use super::tiles::{GatherTiles, POSITIONS, TOGETHER, Warps};
use super::tiling::{CHUNK_SUMS, SHARED, Tiling, balanced};
use super::window::{Map, OP, Window};
use crate::cuda::images::{counted, counted2};
use crate::cuda::launch::Grid;
use crate::cuda::module::{Kernel, kernels};
use crate::cuda::{Buffer, Cuda};
use crate::{DType, Result};

kernels! { nasrl_kernels::CONV2D_GATHER {
    GATHER_2: conv2d_gather_2<bf16, f16>(read T, read u32, read f32; Fused);
    GATHER_3: conv2d_gather_3<bf16, f16>(read T, read u32, read f32; Fused);
    GATHER_4: conv2d_gather_4<bf16, f16>(read T, read u32, read f32; Fused);
    GATHER_5: conv2d_gather_5<bf16, f16>(read T, read u32, read f32; Fused);
    GATHER_6: conv2d_gather_6<bf16, f16>(read T, read u32, read f32; Fused);
    GATHER_8: conv2d_gather_8<bf16, f16>(read T, read u32, read f32; Fused);
} }

/// Phases of a launch.
const PHASES: usize = 4;

/// The geometry of `gather.cuh`.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
pub(super) struct Geometry {
    input: Map,
    output: Map,
    step_out: [u32; 2],
    step_in: [u32; 2],
    chunks: u32,
    blocks: u32,
    relu: u32,
    split: u32,
    phases: [Phase; PHASES],
}

/// The geometry of `conv2d_gather.cu`.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Fused {
    gather: Geometry,
    source: Source,
    sinks: Sinks,
}

/// What a gather on tensor cores reads and writes.
pub(super) struct Endpoints<'a> {
    pub(super) source: Source,
    pub(super) bias: Option<&'a Buffer>,
    pub(super) relu: bool,
    pub(super) sinks: Sinks,
}

#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C)]
struct Phase {
    positions: [u32; 2],
    first: [u32; 2],
    origin: [u32; 2],
    taps: u32,
    taps_at: u32,
    filters_at: u32,
    tiles: u32,
    tiling: Tiling,
}

/// A gather: windows of which each gives the results of a phase, and how they are computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gather {
    pub(super) windows: Vec<Window>,
    tilings: Vec<Tiling>,
    pub(super) layout: Layout,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `conv2d_gather.cu`, for 16-bit types: bytes of shared memory, most positions of a tile, and how
    /// the warps of a block share them.
    TensorCore { shared: usize, positions: usize, warps: Warps },
    /// `conv2d_tiled.cu`, for f32.
    Tiled,
}

/// Most chunks of a block of channels: more would need a larger halo and save little.
const MOST_CHUNKS: usize = 8;

/// A row of 8 chunks of filters in shared memory, whose pitch is odd in chunks.
const FILTER_ROW: usize = 9 * 16;

/// Bytes of a chunk's place in a source.
const PLACE: usize = 2 * size_of::<u32>();

/// Tiles of filters in shared memory.
const STAGES: usize = 3;

/// Eights of filters that the kernels come for.
const WIDTHS: [usize; 6] = [2, 3, 4, 5, 6, 8];

/// Rows and columns of a block's results in `conv2d_tiled.cu`.
pub(super) const SIDE: usize = 64;

impl Gather {
    /// A gather on tensor cores, with the tiles of most positions, and then of most channels, whose
    /// halo fits, unless they are chosen; none if even that of one position does not.
    pub(super) fn on_tensor_cores(windows: Vec<Window>, chosen: &GatherTiles) -> Option<Self> {
        let eights = windows[0].output.channels.div_ceil(8);
        let (needed, _) = balanced(eights, WIDTHS[WIDTHS.len() - 1]);
        let needed = chosen.filters.map_or(needed, |filters| filters / 8);
        let width = *WIDTHS.iter().find(|&&width| width >= needed)?;
        let channels = windows[0].input.channels.div_ceil(8);
        // Small maps make few blocks, which are to be more and shorter.
        let small = windows.iter().all(|window| window.positions() <= TOGETHER);
        let warps = chosen.warps.unwrap_or(if small { Warps::Together } else { Warps::Apart });
        let most_positions = match warps {
            Warps::Together => TOGETHER,
            Warps::Apart => POSITIONS,
        };
        let budgets = match chosen.positions {
            Some(positions) => vec![positions],
            None => (0..=most_positions.ilog2()).rev().map(|log| 1 << log).collect(),
        };
        let mosts = match chosen.channels {
            Some(channels) => vec![channels / 8],
            None => vec![MOST_CHUNKS, 4, 2, 1],
        };
        let cuts =
            budgets.iter().flat_map(|&positions| mosts.iter().map(move |&most| (positions, most)));
        for (positions, most) in cuts {
            let (chunks, blocks) = balanced(channels, most);
            let layout = Layout { block: width * 8, chunks, blocks, order: Order::FiltersFirst };
            let tiling = |window| Tiling::of(window, positions, chunks);
            let tilings: Vec<_> = windows.iter().map(tiling).collect();
            let ring = STAGES * layout.block * FILTER_ROW;
            let bytes = |(window, tiling): (&Window, &Tiling)| {
                let table = layout.tiles(window) * 8 * size_of::<u32>();
                (ring + table + MOST_CHUNKS * PLACE).saturating_add(tiling.halo_bytes())
            };
            let results = match warps {
                Warps::Together => 4 * TOGETHER * layout.block * size_of::<f32>(),
                Warps::Apart => POSITIONS * (width | 1) * 16,
            };
            let sums = CHUNK_SUMS + layout.block * size_of::<f32>();
            let results = results.max(most_positions * (width | 1) * 16 + sums);
            let shared = windows.iter().zip(&tilings).map(bytes).max()?.max(results);
            if shared <= chosen.shared.unwrap_or(SHARED) {
                let form = Form::TensorCore { shared, positions, warps };
                return Some(Gather { windows, tilings, layout, form });
            }
        }
        None
    }

    /// The tiles on tensor cores.
    pub(super) fn tiles(&self) -> Option<GatherTiles> {
        let Form::TensorCore { shared, positions, warps } = self.form else { return None };
        Some(GatherTiles {
            filters: Some(self.layout.block),
            positions: Some(positions),
            channels: Some(8 * self.layout.chunks),
            warps: Some(warps),
            shared: Some(shared),
        })
    }

    /// A gather of f32.
    pub(super) fn tiled(windows: Vec<Window>) -> Self {
        let chunks = windows[0].input.channels.div_ceil(8);
        let layout = Layout { block: SIDE, chunks, blocks: 1, order: Order::ChannelsFirst };
        let tilings = vec![Tiling::default(); windows.len()];
        Gather { windows, tilings, layout, form: Form::Tiled }
    }

    /// Elements of the packed filters and of the tables of taps.
    pub(super) fn lens(&self) -> [usize; 2] {
        let filters = self.windows.iter().map(|window| self.layout.len(window));
        [filters.sum(), self.windows.iter().map(|window| 2 * window.taps()).sum()]
    }

    /// Whether it runs on tensor cores.
    pub(super) fn fuses(&self) -> bool {
        matches!(self.form, Form::TensorCore { .. })
    }

    /// How many blocks of threads there are for some filters, and so parts of statistics.
    pub(super) fn parts(&self, images: usize) -> usize {
        if !self.fuses() {
            return 1;
        }
        let launches = self.tilings.chunks(PHASES);
        let parts = launches.map(|tilings| tilings.len() * most_tiles(tilings, images));
        parts.sum::<usize>().max(1)
    }

    /// Runs a gather on tensor cores with its filters and taps, which begin in the packed ones where
    /// `at` says.
    pub(super) fn run(
        &self,
        on: &Cuda,
        (packed, at): (&Packed, [usize; 2]),
        images: usize,
        endpoints: Endpoints<'_>,
    ) -> Result<()> {
        let Endpoints { source, bias, relu, mut sinks } = endpoints;
        for (gather, grid) in self.launches(images, at, relu)? {
            let [filters, taps] = packed.buffers();
            let arguments = [
                filters.read(filters.capacity()),
                taps.read(taps.capacity()),
                bias.map_or(on.absent(DType::F32), |bias| bias.read(self.filters())),
            ];
            on.launch(self.kernel(), grid, arguments, Fused { gather, source, sinks })?;
            sinks.first_part += (grid.blocks[0] * grid.blocks[2]) as u32;
        }
        Ok(())
    }

    /// Runs a gather of f32, likewise.
    pub(super) fn run_tiled(
        &self,
        on: &Cuda,
        (packed, at): (&Packed, [usize; 2]),
        operands: &Operands<'_>,
        y: &mut Buffer,
    ) -> Result<()> {
        let &Operands { images, x, bias, relu, mask } = operands;
        let Window { input, output, .. } = self.windows[0];
        let output = images * output.elements();
        for (geometry, grid) in self.launches(images, at, relu)? {
            let [filters, taps] = packed.buffers();
            let arguments = [
                x.read(images * input.elements()),
                filters.read(filters.capacity()),
                taps.read(taps.capacity()),
                bias.map_or(on.absent(DType::F32), |bias| bias.read(self.filters())),
                mask.map_or(on.absent(y.dtype()), |mask| mask.read(output)),
                y.write(output),
            ];
            on.launch(super::tiled::GATHER, grid, arguments, geometry)?;
        }
        Ok(())
    }

    fn filters(&self) -> usize {
        self.windows[0].output.channels
    }

    /// The launches that it takes.
    fn launches(&self, images: usize, at: [usize; 2], relu: bool) -> Result<Vec<(Geometry, Grid)>> {
        let [mut filters_at, mut taps_at] = at;
        let mut phases = Vec::with_capacity(self.windows.len());
        for (window, tiling) in self.windows.iter().zip(&self.tilings) {
            phases.push(Phase {
                positions: counted2(OP, "output", window.each_axis(|axis| axis.positions))?,
                first: window.each_axis(|axis| axis.first as u32),
                origin: window.each_axis(|axis| axis.wrapped_origin()),
                taps: counted(OP, "the number of taps", window.taps())?,
                taps_at: counted(OP, "the number of taps", taps_at)?,
                filters_at: counted(OP, "the number of packed filters", filters_at / 8)?,
                tiles: self.layout.tiles(window) as u32,
                tiling: *tiling,
            });
            filters_at += self.layout.len(window);
            taps_at += 2 * window.taps();
        }
        let window = &self.windows[0];
        let geometry = Geometry {
            input: Map::of(images, window.input)?,
            output: Map::of(images, window.output)?,
            step_out: window.each_axis(|axis| axis.step_out as u32),
            step_in: window.each_axis(|axis| axis.step_in as u32),
            chunks: self.layout.chunks as u32,
            blocks: self.layout.blocks as u32,
            relu: u32::from(relu),
            split: u32::from(matches!(self.form, Form::TensorCore { warps: Warps::Together, .. })),
            phases: [Phase::default(); PHASES],
        };
        let launch = |(index, phases): (usize, &[Phase])| {
            let mut geometry = geometry;
            geometry.phases[..phases.len()].copy_from_slice(phases);
            let first = index * PHASES;
            (geometry, self.grid(first..first + phases.len(), images))
        };
        Ok(phases.chunks(PHASES).enumerate().map(launch).collect())
    }

    fn grid(&self, phases: std::ops::Range<usize>, images: usize) -> Grid {
        let blocks = |blocks| [blocks, self.layout.filter_blocks(&self.windows[0]), phases.len()];
        match self.form {
            Form::TensorCore { shared, .. } => {
                let blocks = blocks(most_tiles(&self.tilings[phases.clone()], images));
                Grid { blocks, threads: 128, shared: shared as u32 }
            }
            Form::Tiled => {
                let positions = self.windows[phases.clone()].iter().map(Window::positions);
                let positions = positions.max().unwrap_or(0) * images;
                Grid { blocks: blocks(positions.div_ceil(SIDE)), ..Grid::blocks(0) }
            }
        }
    }

    fn kernel(&self) -> &'static Kernel<3, Fused> {
        match self.layout.block / 8 {
            2 => &GATHER_2,
            3 => &GATHER_3,
            4 => &GATHER_4,
            5 => &GATHER_5,
            6 => &GATHER_6,
            _ => &GATHER_8,
        }
    }
}

fn most_tiles(tilings: &[Tiling], images: usize) -> usize {
    tilings.iter().map(|tiling| tiling.tiles(images)).max().unwrap_or(0)
}
