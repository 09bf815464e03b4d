//! Convolution as products of tiles: on tensor cores for 16-bit activations, in registers for f32.
//!
//! A forward pass is a gather, see [`window`]; the gradient of the input is one for each phase of
//! the stride, over filters that are packed with their channels exchanged. The gradient of the
//! filters is summed in slices of positions that the shape alone decides, and then over the slices
//! in order: no GPU gives other bits than another of its kind.

mod depthwise;
mod direct;
mod gather;
mod pack;
mod tiled;
mod tiling;
mod wgrad;
mod window;

use super::buffer::Argument;
use super::{Buffer, Cuda};
use crate::ops::{Connection, Conv2d, Conv2dBackend, Conv2dMemory, Epilogue, Sum};
use crate::{DType, Error, Result};
use direct::Direct;
use gather::Gather;
use pack::{Direction, Packed};
use tiled::TiledGather;
use window::Window;

/// A convolution that is ready to run on a GPU: tables of taps and packed filters.
pub struct Conv2dPlan {
    geometry: Conv2d,
    dtype: DType,
    kernels: Kernels,
}

/// What computes a convolution on a GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Conv2dAlgorithm {
    /// Products of tiles, where the geometry allows them: all full convolutions but those whose
    /// dilation is so large that what a position sees fits no shared memory.
    #[default]
    ImplicitGemm,
    /// A thread a result, which any geometry allows.
    Direct,
}

enum Kernels {
    TensorCore(Box<TensorCore>),
    Tiled(Box<Tiled>),
    Direct(Box<Direct>),
}

struct TensorCore {
    fprop: Gather,
    dgrad: Vec<Gather>,
    wgrad: wgrad::Choice,
    window: Window,
    taps: Buffer,
}

struct Tiled {
    fprop: TiledGather,
    dgrad: Vec<TiledGather>,
    window: Window,
    taps: Buffer,
}

/// The operands of a gather: `x` is the output's gradient where the gather is one of dgrad.
struct Operands<'a> {
    images: usize,
    x: &'a Buffer,
    bias: Option<&'a Buffer>,
    relu: bool,
    mask: Option<&'a Buffer>,
}

/// The operands of wgrad.
struct Gradient<'a> {
    images: usize,
    x: &'a Buffer,
    dy: &'a Buffer,
}

/// How the positions of all images are cut for the gradient of the filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slices {
    count: usize,
    /// Positions of a slice, where slices are of whole positions and not of tiles.
    pixels: usize,
}

impl Cuda {
    /// [`Conv2dBackend::conv2d_plan`] with a choice of the algorithm.
    ///
    /// # Errors
    /// [`Error::DType`] for a type that is no float, [`Error::Parameter`] for extents that 31 bits
    /// do not count, [`Error::OutOfMemory`], or [`Error::Cuda`].
    pub fn conv2d_plan_with(
        &self,
        geometry: &Conv2d,
        dtype: DType,
        algorithm: Conv2dAlgorithm,
    ) -> Result<Conv2dPlan> {
        window::check(geometry)?;
        let kernels = match Choice::of(geometry, dtype, algorithm)? {
            Choice::TensorCore(choice) => {
                let TensorCoreChoice { fprop, dgrad, wgrad } = *choice;
                let gather = |direction, (window, choice)| {
                    Gather::new(self, geometry, direction, (window, choice, dtype))
                };
                let window = fprop.0.clone();
                let dgrad = dgrad.into_iter().map(|choice| gather(Direction::Dgrad, choice));
                Kernels::TensorCore(Box::new(TensorCore {
                    taps: pack::table(self, &window, geometry.channels)?,
                    fprop: gather(Direction::Fprop, fprop)?,
                    dgrad: dgrad.collect::<Result<_>>()?,
                    wgrad,
                    window,
                }))
            }
            Choice::Tiled => {
                let gather =
                    |direction, window| TiledGather::new(self, geometry, direction, window);
                let window = Window::fprop(geometry);
                let dgrad = Window::dgrad(geometry).into_iter();
                Kernels::Tiled(Box::new(Tiled {
                    taps: pack::table(self, &window, geometry.channels)?,
                    fprop: gather(Direction::Fprop, window.clone())?,
                    dgrad: dgrad
                        .map(|window| gather(Direction::Dgrad, window))
                        .collect::<Result<_>>()?,
                    window,
                }))
            }
            Choice::Direct => Kernels::Direct(Box::new(Direct::new(self, geometry, dtype)?)),
        };
        Ok(Conv2dPlan { geometry: *geometry, dtype, kernels })
    }
}

impl Conv2dBackend for Cuda {
    type Conv2dPlan = Conv2dPlan;

    fn conv2d_plan(&self, geometry: &Conv2d, dtype: DType) -> Result<Conv2dPlan> {
        self.conv2d_plan_with(geometry, dtype, Conv2dAlgorithm::default())
    }

    fn conv2d_memory(&self, geometry: &Conv2d, dtype: DType) -> Conv2dMemory {
        let filters = geometry.filter_shape().count();
        let taps = 3 * geometry.kernel[0] * geometry.kernel[1] * size_of::<u32>();
        let plan = match Choice::of(geometry, dtype, Conv2dAlgorithm::default()) {
            Ok(Choice::TensorCore(choice)) => {
                let bytes = |(window, choice): &(Window, gather::Choice)| choice.bytes(window);
                taps + bytes(&choice.fprop) + choice.dgrad.iter().map(bytes).sum::<usize>()
            }
            Ok(Choice::Tiled) => {
                let mut windows = Window::dgrad(geometry);
                windows.push(Window::fprop(geometry));
                taps + windows.iter().map(TiledGather::bytes).sum::<usize>()
            }
            Ok(Choice::Direct) | Err(_) => filters * dtype.size(),
        };
        Conv2dMemory { plan, scratch: MOST_SLICES * filters * size_of::<f32>() }
    }

    fn conv2d_load(&self, plan: &mut Conv2dPlan, filters: &Buffer) -> Result<()> {
        let count = plan.geometry.filter_shape().count();
        match &mut plan.kernels {
            Kernels::TensorCore(passes) => {
                passes.fprop.load(self, filters, count)?;
                passes.dgrad.iter_mut().try_for_each(|pass| pass.load(self, filters, count))
            }
            Kernels::Tiled(passes) => {
                passes.fprop.load(self, filters, count)?;
                passes.dgrad.iter_mut().try_for_each(|pass| pass.load(self, filters, count))
            }
            Kernels::Direct(direct) => direct.load(self, filters),
        }
    }

    fn conv2d_fprop(
        &self,
        plan: &Conv2dPlan,
        images: usize,
        x: &Buffer,
        epilogue: Epilogue<'_, Self>,
        y: &mut Buffer,
    ) -> Result<()> {
        let Epilogue { bias, relu } = epilogue;
        let operands = Operands { images, x, bias, relu, mask: None };
        plan.check(x)?;
        match &plan.kernels {
            Kernels::TensorCore(passes) => passes.fprop.run(self, &operands, y),
            Kernels::Tiled(passes) => passes.fprop.run(self, &operands, y),
            Kernels::Direct(direct) => direct.fprop(self, &operands, y),
        }
    }

    fn conv2d_dgrad(
        &self,
        plan: &Conv2dPlan,
        images: usize,
        dy: &Buffer,
        mask: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()> {
        let operands = Operands { images, x: dy, bias: None, relu: false, mask };
        plan.check(dy)?;
        match &plan.kernels {
            Kernels::TensorCore(passes) => {
                passes.dgrad.iter().try_for_each(|pass| pass.run(self, &operands, dx))
            }
            Kernels::Tiled(passes) => {
                passes.dgrad.iter().try_for_each(|pass| pass.run(self, &operands, dx))
            }
            Kernels::Direct(direct) => direct.dgrad(self, &operands, dx),
        }
    }

    fn conv2d_wgrad(
        &self,
        plan: &Conv2dPlan,
        images: usize,
        x: &Buffer,
        dy: &Buffer,
        sum: Sum,
        dw: &mut Buffer,
    ) -> Result<()> {
        let gradient = Gradient { images, x, dy };
        plan.check(x)?;
        let count = plan.geometry.filter_shape().count();
        let slices = plan.slices(images);
        let mut partial = self.uninitialised(DType::F32, slices.count * count)?;
        match &plan.kernels {
            Kernels::TensorCore(passes) => {
                let window = (&passes.window, &passes.taps);
                passes.wgrad.run(self, window, &gradient, &mut partial, slices)?;
            }
            Kernels::Tiled(passes) => {
                let window = (&passes.window, &passes.taps);
                tiled::wgrad(self, window, &gradient, &mut partial, slices)?;
            }
            Kernels::Direct(direct) => direct.wgrad(self, &gradient, &mut partial, slices)?,
        }
        direct::total(self, (&partial, slices), sum, (dw, count))
    }
}

/// Blocks of threads that the gradient of the filters should have: enough for two on each
/// multiprocessor of a large GPU, and the same on a small one.
const WGRAD_BLOCKS: usize = 264;

/// Most slices: more would make their sum the longer part.
const MOST_SLICES: usize = 128;

/// Positions that a slice should have.
const PIXELS: usize = 256;

impl Conv2dPlan {
    fn check(&self, activations: &Buffer) -> Result<()> {
        let found = activations.dtype();
        match found == self.dtype {
            true => Ok(()),
            false => Err(Error::DType { op: window::OP, found, expected: "the plan's dtype" }),
        }
    }

    fn slices(&self, images: usize) -> Slices {
        let pixels = images * self.geometry.output().iter().product::<usize>();
        let at_most = |units: usize, blocks: usize| {
            units.clamp(1, (WGRAD_BLOCKS / blocks).clamp(1, MOST_SLICES))
        };
        let (wanted, whole) = match &self.kernels {
            Kernels::TensorCore(passes) => {
                let tiles = passes.wgrad.tiling.tiles(images);
                let count = at_most(tiles, passes.wgrad.blocks());
                return Slices { count, pixels: 0 };
            }
            Kernels::Tiled(passes) => {
                let blocks = tiled::wgrad_blocks(&passes.window);
                (at_most(pixels.div_ceil(PIXELS), blocks), 8)
            }
            Kernels::Direct(_) => (at_most(pixels.div_ceil(PIXELS), 1), 1),
        };
        let pixels_a_slice = pixels.div_ceil(wanted).next_multiple_of(whole).max(1);
        let count = pixels.div_ceil(pixels_a_slice).max(1);
        Slices { count, pixels: pixels_a_slice }
    }
}

/// What will compute a convolution, before anything is allocated.
enum Choice {
    TensorCore(Box<TensorCoreChoice>),
    Tiled,
    Direct,
}

struct TensorCoreChoice {
    fprop: (Window, gather::Choice),
    dgrad: Vec<(Window, gather::Choice)>,
    wgrad: wgrad::Choice,
}

impl Choice {
    fn of(geometry: &Conv2d, dtype: DType, algorithm: Conv2dAlgorithm) -> Result<Self> {
        let direct =
            algorithm == Conv2dAlgorithm::Direct || geometry.connection == Connection::Depthwise;
        match dtype {
            DType::F32 | DType::BF16 | DType::F16 if direct => Ok(Choice::Direct),
            DType::F32 => Ok(Choice::Tiled),
            DType::BF16 | DType::F16 => Ok(TensorCoreChoice::of(geometry)
                .map_or(Choice::Direct, |choice| Choice::TensorCore(Box::new(choice)))),
            found => Err(Error::DType { op: window::OP, found, expected: "f32, bf16 or f16" }),
        }
    }
}

impl TensorCoreChoice {
    fn of(geometry: &Conv2d) -> Option<Self> {
        let choose = |window: Window| gather::Choice::of(&window).map(|choice| (window, choice));
        let window = Window::fprop(geometry);
        Some(TensorCoreChoice {
            wgrad: wgrad::Choice::of(&window)?,
            fprop: choose(window)?,
            dgrad: Window::dgrad(geometry).into_iter().map(choose).collect::<Option<_>>()?,
        })
    }
}

impl<'a> Operands<'a> {
    /// As the kernels of gathers take them.
    fn arguments(
        &self,
        on: &Cuda,
        window: &Window,
        packed: &'a Packed,
        y: &'a mut Buffer,
    ) -> [Argument<'a>; 6] {
        let &Operands { images, x, bias, mask, .. } = self;
        let output = images * window.output.elements();
        let (filters, len) = packed.filters();
        [
            x.read(images * window.input.elements()),
            filters.read(len),
            packed.taps.read(3 * window.taps()),
            bias.map_or(on.absent(DType::F32), |bias| bias.read(window.output.channels)),
            mask.map_or(on.absent(y.dtype()), |mask| mask.read(output)),
            y.write(output),
        ]
    }
}

impl<'a> Gradient<'a> {
    /// As the kernels that write a gradient's parts take them.
    fn arguments(
        &self,
        window: &Window,
        taps: &'a Buffer,
        partial: &'a mut Buffer,
        slices: Slices,
    ) -> [Argument<'a>; 4] {
        let &Gradient { images, x, dy } = self;
        let count = window.taps() * window.input.channels * window.output.channels;
        [
            x.read(images * window.input.elements()),
            dy.read(images * window.output.elements()),
            taps.read(3 * window.taps()),
            partial.write(slices.count * count),
        ]
    }
}
