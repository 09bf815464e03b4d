//! Convolution as products of tiles: on tensor cores for 16-bit activations, in registers for f32.
//!
//! A forward pass is a gather, see [`window`]; the gradient of the input is one for each phase of
//! the stride, over filters that are packed with their channels exchanged. The gradient of the
//! filters is summed in slices of positions that the shape alone decides, and then over the slices
//! in order: no GPU gives other bits than another of its kind.

mod depthwise;
mod direct;
mod fused;
mod gather;
mod pack;
mod segments;
mod tiled;
mod tiles;
mod tiling;
mod wgrad;
mod window;

use super::{Buffer, Cuda};
use crate::ops::{
    Connection, Conv2d, Conv2dBackend, Conv2dMemory, Conv2dParts, Epilogue, FilterGradients,
    FusedConv2dBackend, GradientForm, Output, OutputGradient, Producer, Segment, SegmentMut, Sum,
};
use crate::{DType, Error, Result};
use direct::Direct;
use gather::Gather;
use pack::{Direction, Group, Packed};
use wgrad::Wgrad;
use window::Window;

pub use tiles::{Conv2dTiles, GatherTiles, Warps, WgradTiles};

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
    Gemm(Box<Gemm>, Packed),
    Direct(Direct),
}

/// How the passes of a convolution are computed as products of tiles.
struct Gemm {
    fprop: Gather,
    dgrad: Gather,
    wgrad: Wgrad,
}

/// The operands of a pass that fuses none: `x` is the output's gradient where the gather is one of dgrad.
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
    /// Positions of a slice, where slices are not of tiles.
    pixels: usize,
}

impl Slices {
    /// Slices of tiles, so many if there are enough tiles.
    fn of_tiles(tiles: usize, wanted: usize) -> Self {
        let most = wanted.clamp(1, MOST_SLICES);
        Slices { count: tiles.clamp(1, most), pixels: 0 }
    }

    /// Slices of positions, a multiple of `whole` of them.
    fn of_pixels(pixels: usize, blocks: usize, whole: usize) -> Self {
        let wanted = Self::of_tiles(pixels.div_ceil(PIXELS), WGRAD_BLOCKS / blocks).count;
        let a_slice = pixels.div_ceil(wanted).next_multiple_of(whole).max(1);
        Slices { count: pixels.div_ceil(a_slice).max(1), pixels: a_slice }
    }
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
        self.plan(geometry, dtype, Gemm::of(geometry, dtype, algorithm)?)
    }

    fn plan(&self, geometry: &Conv2d, dtype: DType, gemm: Option<Gemm>) -> Result<Conv2dPlan> {
        let kernels = match gemm {
            Some(gemm) => {
                let packed = Packed::new(self, geometry, dtype, &gemm.groups())?;
                Kernels::Gemm(Box::new(gemm), packed)
            }
            None => Kernels::Direct(Direct::new(self, geometry, dtype)?),
        };
        Ok(Conv2dPlan { geometry: *geometry, dtype, kernels })
    }
}

impl Conv2dBackend for Cuda {
    type Conv2dPlan = Conv2dPlan;

    fn conv2d_plan(&self, geometry: &Conv2d, dtype: DType) -> Result<Conv2dPlan> {
        self.conv2d_plan_with(geometry, dtype, Conv2dAlgorithm::default())
    }

    fn conv2d_memory(&self, geometry: &Conv2d, dtype: DType, images: usize) -> Conv2dMemory {
        let filters = geometry.filter_shape().count();
        let gemm = Gemm::of(geometry, dtype, Conv2dAlgorithm::default()).ok().flatten();
        let plan = match &gemm {
            Some(gemm) => gemm.groups().map(|group| Packed::bytes(group, dtype)).iter().sum(),
            None => filters * dtype.size(),
        };
        let pieces = |images| slices(geometry, gemm.as_ref(), images).count;
        let pieces = (1..=images).map(pieces).max().unwrap_or(1);
        let one = Conv2dParts { moments: 1, sums: 1 };
        let parts = gemm.as_ref().map_or(one, |gemm| gemm.parts(images));
        Conv2dMemory { plan, scratch: pieces * filters * size_of::<f32>(), pieces, parts }
    }

    fn conv2d_load(&self, plan: &mut Conv2dPlan, filters: &Buffer) -> Result<()> {
        self.conv2d_load_all(&mut [(plan, filters)])
    }

    fn conv2d_load_all(&self, plans: &mut [(&mut Conv2dPlan, &Buffer)]) -> Result<()> {
        let mut packed = Vec::new();
        for (plan, filters) in plans {
            let count = plan.geometry.filter_shape().count();
            match &mut plan.kernels {
                Kernels::Gemm(_, of) => packed.push((of, filters.read(count))),
                Kernels::Direct(direct) => direct.load(self, filters)?,
            }
        }
        pack::load(self, &mut packed)
    }

    fn conv2d_fprop(
        &self,
        plan: &Conv2dPlan,
        images: usize,
        x: &Buffer,
        epilogue: Epilogue<'_, Self>,
        y: &mut Buffer,
    ) -> Result<()> {
        if plan.on_tensor_cores().is_some() {
            let x = [Segment::plain(x, plan.geometry.channels)];
            let output = Output { y, moments: None };
            return self.conv2d_fprop_fused(plan, images, &x, epilogue, output);
        }
        let Epilogue { bias, relu } = epilogue;
        let operands = Operands { images, x, bias, relu, mask: None };
        plan.check(x)?;
        match &plan.kernels {
            Kernels::Gemm(gemm, packed) => {
                gemm.fprop.run_tiled(self, (packed, [0, 0]), &operands, y)
            }
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
        if plan.on_tensor_cores().is_some() {
            let producer = mask.map_or(Producer::Any, Producer::Relu);
            let channels = plan.geometry.channels;
            let mut dx = [SegmentMut { dx, channels, sum: Sum::Store, producer }];
            let dy = OutputGradient::plain(dy);
            return self.conv2d_dgrad_fused(plan, images, &dy, &mut dx);
        }
        let operands = Operands { images, x: dy, bias: None, relu: false, mask };
        plan.check(dy)?;
        match &plan.kernels {
            Kernels::Gemm(gemm, packed) => {
                gemm.dgrad.run_tiled(self, (packed, gemm.fprop.lens()), &operands, dx)
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
        let count = plan.geometry.filter_shape().count();
        let slices = plan.slices(images);
        let mut partial = self.scratch(DType::F32, slices.count * count)?;
        self.conv2d_wgrad_pieces(plan, images, x, dy, &mut partial)?;
        direct::total(self, (&partial, slices), sum, (dw, count))
    }

    fn conv2d_gradient_pieces(&self, plan: &Conv2dPlan, images: usize) -> usize {
        plan.slices(images).count
    }

    fn conv2d_wgrad_pieces(
        &self,
        plan: &Conv2dPlan,
        images: usize,
        x: &Buffer,
        dy: &Buffer,
        pieces: &mut Buffer,
    ) -> Result<()> {
        if plan.on_tensor_cores().is_some() {
            let x = [Segment::plain(x, plan.geometry.channels)];
            let dy = OutputGradient::plain(dy);
            let form = GradientForm::Pieces;
            let gradients = FilterGradients { dw: pieces, bias: None, form };
            return self.conv2d_wgrad_fused(plan, images, &x, &dy, gradients);
        }
        plan.check(x)?;
        let (gradient, slices) = (Gradient { images, x, dy }, plan.slices(images));
        match &plan.kernels {
            Kernels::Gemm(gemm, packed) => {
                let [_, taps] = packed.buffers();
                gemm.wgrad.run_tiled(self, taps, &gradient, (pieces, slices))
            }
            Kernels::Direct(direct) => direct.wgrad(self, &gradient, pieces, slices),
        }
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
        let gemm = match &self.kernels {
            Kernels::Gemm(gemm, _) => Some(&**gemm),
            Kernels::Direct(_) => None,
        };
        slices(&self.geometry, gemm, images)
    }
}

/// How a batch is cut for the gradient of the filters.
fn slices(geometry: &Conv2d, gemm: Option<&Gemm>, images: usize) -> Slices {
    let pixels = images * geometry.output().iter().product::<usize>();
    match gemm {
        Some(gemm) => gemm.wgrad.slices(images),
        None => Slices::of_pixels(pixels, 1, 1),
    }
}

impl Gemm {
    /// None if the convolution is to be computed directly.
    fn of(geometry: &Conv2d, dtype: DType, algorithm: Conv2dAlgorithm) -> Result<Option<Self>> {
        let direct =
            algorithm == Conv2dAlgorithm::Direct || geometry.connection == Connection::Depthwise;
        match dtype {
            DType::F32 | DType::BF16 | DType::F16 if direct => Ok(None),
            DType::F32 => {
                let window = Window::fprop(geometry);
                Ok(Some(Gemm {
                    fprop: Gather::tiled(vec![window.clone()]),
                    dgrad: Gather::tiled(Window::dgrad(geometry)),
                    wgrad: Wgrad::tiled(window),
                }))
            }
            DType::BF16 | DType::F16 => {
                Ok(Self::on_tensor_cores(geometry, &Conv2dTiles::default()))
            }
            found => Err(Error::DType { op: window::OP, found, expected: "f32, bf16 or f16" }),
        }
    }

    fn on_tensor_cores(geometry: &Conv2d, tiles: &Conv2dTiles) -> Option<Self> {
        let window = Window::fprop(geometry);
        Some(Gemm {
            fprop: Gather::on_tensor_cores(vec![window.clone()], &tiles.fprop)?,
            dgrad: Gather::on_tensor_cores(Window::dgrad(geometry), &tiles.dgrad)?,
            wgrad: Wgrad::on_tensor_cores(window, &tiles.wgrad)?,
        })
    }

    /// What is packed for the passes, in this order.
    fn groups(&self) -> [Group<'_>; 2] {
        let Gemm { fprop, dgrad, .. } = self;
        [
            (&fprop.windows, Direction::Fprop, fprop.layout),
            (&dgrad.windows, Direction::Dgrad, dgrad.layout),
        ]
    }
}
