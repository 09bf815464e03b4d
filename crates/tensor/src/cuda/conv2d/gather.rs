//! Forward passes and gradients of the input as gathers.

use bytemuck::{NoUninit, Pod, Zeroable};

use super::Operands;
use super::pack::{Layout, Order, Packed};
use super::tiling::{SHARED, Tiling, balanced};
use super::window::{Map, OP, Window};
use crate::cuda::images::{counted, counted2};
use crate::cuda::launch::Grid;
use crate::cuda::module::{Kernel, kernels};
use crate::cuda::{Buffer, Cuda};
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
    /// `conv2d_gather.cu`, for 16-bit types: bytes of shared memory, and whether the warps of a block
    /// share its positions.
    TensorCore { shared: usize, split: bool },
    /// `conv2d_tiled.cu`, for f32.
    Tiled,
}

/// Positions of a warp on tensor cores.
const POSITIONS: usize = 64;

const WARPS: usize = 4;

/// Most chunks of a block of channels: more would need a larger halo and save little.
const MOST_CHUNKS: usize = 8;

/// A row of 8 chunks of filters in shared memory, whose pitch is odd in chunks.
const FILTER_ROW: usize = 9 * 16;

/// Tiles of filters in shared memory.
const STAGES: usize = 3;

/// Eights of filters that the kernels come for.
const WIDTHS: [usize; 6] = [2, 3, 4, 5, 6, 8];

/// Rows and columns of a block's results in `conv2d_tiled.cu`.
pub(super) const SIDE: usize = 64;

impl Gather {
    /// A gather on tensor cores, with the tiles of most positions, and then of most channels, whose
    /// halo fits; none if even that of one position does not.
    pub(super) fn on_tensor_cores(windows: Vec<Window>) -> Option<Self> {
        let eights = windows[0].output.channels.div_ceil(8);
        let (needed, _) = balanced(eights, WIDTHS[WIDTHS.len() - 1]);
        let width = *WIDTHS.iter().find(|&&width| width >= needed)?;
        let channels = windows[0].input.channels.div_ceil(8);
        // Small maps make few blocks, which are to be more and shorter.
        let split = windows.iter().all(|window| window.positions() <= POSITIONS);
        let positions = if split { POSITIONS } else { WARPS * POSITIONS };
        let budgets = (0..=positions.ilog2()).rev().map(|log| 1 << log);
        let cuts = budgets.flat_map(|budget| [MOST_CHUNKS, 4, 2, 1].map(|most| (budget, most)));
        for (budget, most) in cuts {
            let (chunks, blocks) = balanced(channels, most);
            let layout = Layout { block: width * 8, chunks, blocks, order: Order::FiltersFirst };
            let tiling = |window| Tiling::of(window, budget, chunks);
            let tilings: Vec<_> = windows.iter().map(tiling).collect();
            let ring = STAGES * layout.block * FILTER_ROW;
            let bytes = |(window, tiling): (&Window, &Tiling)| {
                let table = layout.tiles(window) * 8 * size_of::<u32>();
                (ring + table).saturating_add(tiling.halo_bytes())
            };
            let results = match split {
                true => WARPS * POSITIONS * layout.block * size_of::<f32>(),
                false => WARPS * POSITIONS * (width | 1) * 16,
            };
            let shared = windows.iter().zip(&tilings).map(bytes).max()?.max(results);
            if shared <= SHARED {
                let form = Form::TensorCore { shared, split };
                return Some(Gather { windows, tilings, layout, form });
            }
        }
        None
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

    /// Runs the gather with its filters and taps, which begin in the packed ones where `at` says.
    pub(super) fn run(
        &self,
        on: &Cuda,
        (packed, at): (&Packed, [usize; 2]),
        operands: &Operands<'_>,
        y: &mut Buffer,
    ) -> Result<()> {
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
        let images = operands.images;
        let mut geometry = Geometry {
            input: Map::of(images, window.input)?,
            output: Map::of(images, window.output)?,
            step_out: window.each_axis(|axis| axis.step_out as u32),
            step_in: window.each_axis(|axis| axis.step_in as u32),
            chunks: self.layout.chunks as u32,
            blocks: self.layout.blocks as u32,
            relu: u32::from(operands.relu),
            split: u32::from(matches!(self.form, Form::TensorCore { split: true, .. })),
            phases: [Phase::default(); PHASES],
        };
        for (index, phases) in phases.chunks(PHASES).enumerate() {
            geometry.phases[..phases.len()].copy_from_slice(phases);
            let first = index * PHASES;
            let grid = self.grid(first..first + phases.len(), images);
            let arguments = self.arguments(on, packed, operands, y);
            on.launch(self.kernel(), grid, arguments, geometry)?;
        }
        Ok(())
    }

    fn grid(&self, phases: std::ops::Range<usize>, images: usize) -> Grid {
        let blocks = |blocks| [blocks, self.layout.filter_blocks(&self.windows[0]), phases.len()];
        match self.form {
            Form::TensorCore { shared, .. } => {
                let tiles = self.tilings[phases.clone()].iter().map(|tiling| tiling.tiles(images));
                let blocks = blocks(tiles.max().unwrap_or(0));
                Grid { blocks, threads: 128, shared: shared as u32 }
            }
            Form::Tiled => {
                let positions = self.windows[phases.clone()].iter().map(Window::positions);
                let positions = positions.max().unwrap_or(0) * images;
                Grid { blocks: blocks(positions.div_ceil(SIDE)), ..Grid::blocks(0) }
            }
        }
    }

    fn arguments<'a>(
        &self,
        on: &Cuda,
        packed: &'a Packed,
        operands: &Operands<'a>,
        y: &'a mut Buffer,
    ) -> [crate::cuda::buffer::Argument<'a>; 6] {
        let &Operands { images, x, bias, mask, .. } = operands;
        let window = &self.windows[0];
        let output = images * window.output.elements();
        let [filters, taps] = packed.buffers();
        [
            x.read(images * window.input.elements()),
            filters.read(filters.capacity()),
            taps.read(taps.capacity()),
            bias.map_or(on.absent(DType::F32), |bias| bias.read(window.output.channels)),
            mask.map_or(on.absent(y.dtype()), |mask| mask.read(output)),
            y.write(output),
        ]
    }

    fn kernel(&self) -> &'static Kernel<6, Geometry> {
        match (self.form, self.layout.block / 8) {
            (Form::Tiled, _) => super::tiled::GATHER,
            (_, 2) => &GATHER_2,
            (_, 3) => &GATHER_3,
            (_, 4) => &GATHER_4,
            (_, 5) => &GATHER_5,
            (_, 6) => &GATHER_6,
            (_, _) => &GATHER_8,
        }
    }
}
