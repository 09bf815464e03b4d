//! The gradient of filters.

use bytemuck::NoUninit;

use super::gather::SIDE;
use super::segments::Source;
use super::tiles::{POSITIONS, WgradTiles};
use super::tiling::{CHUNK_SUMS, SHARED, Tiling, balanced};
use super::window::{Map, OP, Window};
use super::{Gradient, Slices, WGRAD_BLOCKS, tiled};
use crate::Result;
use crate::cuda::images::counted;
use crate::cuda::launch::Grid;
use crate::cuda::module::{Kernel, kernels};
use crate::cuda::{Buffer, Cuda};

kernels! { nasrl_kernels::CONV2D_WGRAD {
    WGRAD_2_3: conv2d_wgrad_2_3<bf16, f16>(read T, read u32, write f32; Fused);
    WGRAD_3_3: conv2d_wgrad_3_3<bf16, f16>(read T, read u32, write f32; Fused);
    WGRAD_4_3: conv2d_wgrad_4_3<bf16, f16>(read T, read u32, write f32; Fused);
    WGRAD_2_9: conv2d_wgrad_2_9<bf16, f16>(read T, read u32, write f32; Fused);
    WGRAD_3_9: conv2d_wgrad_3_9<bf16, f16>(read T, read u32, write f32; Fused);
    WGRAD_4_9: conv2d_wgrad_4_9<bf16, f16>(read T, read u32, write f32; Fused);
} }

/// The geometry of `wgrad.cuh`.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
pub(super) struct Geometry {
    x: Map,
    dy: Map,
    step: [u32; 2],
    origin: [u32; 2],
    taps: u32,
    chunks: u32,
    halo_chunks: u32,
    tiles: u32,
    rows: u32,
    tiling: Tiling,
    halo_bytes: u32,
    positions_a_slice: u64,
}

/// The geometry of `conv2d_wgrad.cu`.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Fused {
    wgrad: Geometry,
    x: Source,
    dy: Source,
    bias: u64,
}

/// What the gradient on tensor cores is made of.
pub(super) struct Endpoints<'a> {
    pub(super) x: Source,
    pub(super) dy: &'a Buffer,
    /// dy and what is made of it.
    pub(super) gradient: Source,
    /// Where the slices' sums of the output's gradient go, or 0.
    pub(super) bias: u64,
}

/// How the gradient of a forward window's filters is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wgrad {
    window: Window,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `conv2d_wgrad.cu`, for 16-bit types.
    TensorCore(Cut),
    /// `conv2d_tiled.cu`, for f32.
    Tiled,
}

/// How blocks of threads share the gradient on tensor cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    tiling: Tiling,
    /// Sixteens of filters of a block of threads, and how many blocks it takes for all.
    filters: usize,
    filter_groups: usize,
    /// Blocks of columns of a warp, and how many blocks of threads it takes for all.
    columns: usize,
    column_groups: usize,
    rows: usize,
    halo_chunks: usize,
    /// Most positions of a tile.
    positions: usize,
    /// Blocks of threads that all slices are to make.
    blocks: usize,
    shared: usize,
}

const WARPS: usize = 4;

/// Blocks of columns of a warp that the kernels come for.
const WIDTHS: [usize; 2] = [9, 3];

/// Positions of a step of `conv2d_tiled.cu`.
const DEPTH: usize = 8;

impl Cut {
    /// The cut of least cost whose halo fits, in tiles as large as fit; smaller ones than it takes
    /// to keep the warps busy come last. What is chosen has no alternatives.
    fn of(window: &Window, chosen: &WgradTiles) -> Option<Self> {
        let with = |positions, width| Self::with(window, chosen, positions, width);
        let mut widths = match chosen.columns {
            Some(columns) => vec![with(POSITIONS, columns)],
            None => WIDTHS.map(|width| with(POSITIONS, width)).to_vec(),
        };
        widths.sort_by_key(Self::cost);
        let budgets = match chosen.positions {
            Some(positions) => vec![vec![positions]],
            None => vec![vec![POSITIONS, 128, 64], vec![32, 16, 8], vec![4, 2, 1]],
        };
        let cuts = budgets.iter().flat_map(|budgets| {
            widths.iter().flat_map(move |cut| budgets.iter().map(|&budget| (budget, cut.columns)))
        });
        cuts.map(|(positions, width)| with(positions, width))
            .find(|cut| cut.shared <= chosen.shared.unwrap_or(SHARED))
    }

    /// Clocks of a multiprocessor for 32 positions of all columns and a group of filters: `mma` takes
    /// some 6.5 on a quarter of it, `ldmatrix` 4 on the whole.
    fn cost(&self) -> usize {
        let products = 13 * self.filters * self.columns;
        let loads = 4 * WARPS * (2 * self.filters + self.columns);
        self.column_groups * products.max(loads)
    }

    fn with(window: &Window, chosen: &WgradTiles, positions: usize, columns: usize) -> Self {
        let sixteens = window.output.channels.div_ceil(16);
        let (filters, filter_groups) = match chosen.filters.map(|filters| filters / 16) {
            Some(filters) => (filters, sixteens.div_ceil(filters)),
            None => balanced(sixteens, 4),
        };
        let filters = filters.max(2);
        let (taps, all) = (window.taps(), window.taps() * window.input.channels.div_ceil(8));
        let group = WARPS * columns;
        let column_groups = all.div_ceil(group);
        // Columns are ordered by chunk and then by tap.
        let chunks_of = |index: usize| {
            let last = ((index + 1) * group).min(all) - 1;
            last / taps - index * group / taps + 1
        };
        let halo_chunks = (0..column_groups).map(chunks_of).max().unwrap_or(1);
        let tiling = Tiling::of(window, positions, halo_chunks);
        let rows = tiling.positions().next_multiple_of(32);
        let row = size_of::<u32>() + ((2 * filters) | 1) * 16;
        let places = halo_chunks * 2 * size_of::<u32>();
        let shared = (rows * row + CHUNK_SUMS + places).saturating_add(tiling.halo_bytes());
        let blocks = chosen.blocks.unwrap_or(WGRAD_BLOCKS);
        Cut {
            tiling,
            filters,
            filter_groups,
            columns,
            column_groups,
            rows,
            halo_chunks,
            positions,
            blocks,
            shared,
        }
    }

    fn kernel(&self) -> &'static Kernel<3, Fused> {
        match (self.filters, self.columns) {
            (2, 3) => &WGRAD_2_3,
            (3, 3) => &WGRAD_3_3,
            (_, 3) => &WGRAD_4_3,
            (2, _) => &WGRAD_2_9,
            (3, _) => &WGRAD_3_9,
            (_, _) => &WGRAD_4_9,
        }
    }
}

impl Wgrad {
    /// On tensor cores; none if not even the halo of one position fits.
    pub(super) fn on_tensor_cores(window: Window, chosen: &WgradTiles) -> Option<Self> {
        Some(Wgrad { form: Form::TensorCore(Cut::of(&window, chosen)?), window })
    }

    /// The tiles on tensor cores.
    pub(super) fn tiles(&self) -> Option<WgradTiles> {
        let Form::TensorCore(cut) = self.form else { return None };
        Some(WgradTiles {
            filters: Some(16 * cut.filters),
            columns: Some(cut.columns),
            positions: Some(cut.positions),
            blocks: Some(cut.blocks),
            shared: Some(cut.shared),
        })
    }

    /// Of f32.
    pub(super) fn tiled(window: Window) -> Self {
        Wgrad { window, form: Form::Tiled }
    }

    fn columns(&self) -> usize {
        self.window.taps() * self.window.input.channels
    }

    /// How a batch is cut: by tiles or by positions.
    pub(super) fn slices(&self, images: usize) -> Slices {
        match self.form {
            Form::TensorCore(cut) => {
                let of_a_slice = cut.filter_groups * cut.column_groups;
                Slices::of_tiles(cut.tiling.tiles(images), cut.blocks / of_a_slice)
            }
            Form::Tiled => {
                let filters = self.window.output.channels.div_ceil(SIDE);
                let blocks = self.columns().div_ceil(SIDE) * filters;
                Slices::of_pixels(images * self.window.positions(), blocks, DEPTH)
            }
        }
    }

    /// Whether it runs on tensor cores.
    pub(super) fn fuses(&self) -> bool {
        matches!(self.form, Form::TensorCore(_))
    }

    /// Writes the slices' parts of the gradient; `taps` begins with the window's.
    pub(super) fn run(
        &self,
        on: &Cuda,
        taps: &Buffer,
        (images, endpoints): (usize, Endpoints<'_>),
        (partial, slices): (&mut Buffer, Slices),
    ) -> Result<()> {
        let Form::TensorCore(cut) = self.form else { return Ok(()) };
        let Endpoints { x, dy, gradient, bias } = endpoints;
        let window = &self.window;
        let arguments = [
            dy.read(images * window.output.elements()),
            taps.read(2 * window.taps()),
            partial.write(slices.count * self.columns() * window.output.channels),
        ];
        let wgrad = Geometry {
            halo_chunks: cut.halo_chunks as u32,
            tiles: counted(OP, "the number of tiles", cut.tiling.tiles(images))?,
            rows: cut.rows as u32,
            tiling: cut.tiling,
            halo_bytes: cut.tiling.halo_bytes() as u32,
            ..self.geometry(images, slices)?
        };
        let blocks = [slices.count, cut.column_groups, cut.filter_groups];
        let grid = Grid { blocks, threads: 128, shared: cut.shared as u32 };
        on.launch(cut.kernel(), grid, arguments, Fused { wgrad, x, dy: gradient, bias })
    }

    /// The same of f32.
    pub(super) fn run_tiled(
        &self,
        on: &Cuda,
        taps: &Buffer,
        gradient: &Gradient<'_>,
        (partial, slices): (&mut Buffer, Slices),
    ) -> Result<()> {
        let window = &self.window;
        let &Gradient { images, x, dy } = gradient;
        let arguments = [
            x.read(images * window.input.elements()),
            dy.read(images * window.output.elements()),
            taps.read(2 * window.taps()),
            partial.write(slices.count * self.columns() * window.output.channels),
        ];
        let filters = window.output.channels.div_ceil(SIDE);
        let blocks = [slices.count, self.columns().div_ceil(SIDE), filters];
        let geometry = self.geometry(images, slices)?;
        on.launch(tiled::WGRAD, Grid { blocks, ..Grid::blocks(0) }, arguments, geometry)
    }

    /// What both forms have.
    fn geometry(&self, images: usize, slices: Slices) -> Result<Geometry> {
        let window = &self.window;
        Ok(Geometry {
            x: Map::of(images, window.input)?,
            dy: Map::of(images, window.output)?,
            step: window.each_axis(|axis| axis.step_in as u32),
            origin: window.each_axis(|axis| axis.wrapped_origin()),
            taps: counted(OP, "the number of taps", window.taps())?,
            chunks: window.input.channels.div_ceil(8) as u32,
            halo_chunks: 0,
            tiles: 0,
            rows: 0,
            tiling: Tiling::default(),
            halo_bytes: 0,
            positions_a_slice: slices.pixels as u64,
        })
    }
}
