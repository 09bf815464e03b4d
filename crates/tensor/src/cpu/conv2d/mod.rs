//! Convolution as products of the micro-kernel over images with their borders.
//!
//! Each image is copied once into a scratch with its zeros around it (not at all if it needs
//! none), after which no pass knows about borders: taps are fixed distances. Considered and left
//! out: im2col, which writes every pixel once a tap.

mod border;
mod depthwise;
mod dgrad;
mod fprop;
mod fused;
mod output;
mod pack;
mod wgrad;
mod winograd;

use std::marker::PhantomData;

use super::scratch::{Demand, Scratch, with_scratch};
use super::simd::{Arithmetic, Engine, Task};
use super::{Buffer, Cpu, with_float};
use crate::ops::{Connection, Conv2d, Conv2dBackend, Conv2dMemory, Epilogue, Sum};
use crate::{DType, Float, Result};
use depthwise::Depthwise;
use dgrad::Dgrad;
use fprop::Fprop;
use wgrad::Wgrad;
use winograd::Winograd;

/// Images whose weight gradients are added up before the next ones', whatever the threads.
const WGRAD_BLOCK: usize = 16;

/// A convolution that is ready to run on a CPU: tables of offsets and packed filters.
pub struct Conv2dPlan {
    geometry: Conv2d,
    dtype: DType,
    engine: Engine,
    kernels: Kernels,
}

/// How a CPU computes convolutions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Conv2dAlgorithm {
    /// Plain sums, exact where `f32` holds them.
    #[default]
    Direct,
    /// A quarter of the products for most 3x3 filters of stride 1, by Winograd's F(4x4, 3x3), whose
    /// rounding errors are a few times those of a plain sum; others as [`Conv2dAlgorithm::Direct`].
    Winograd,
}

enum Kernels {
    Full(Box<Full>),
    Winograd(Box<Winograd>),
    Depthwise(Box<Depthwise>),
}

struct Full {
    fprop: Fprop,
    dgrad: Dgrad,
    wgrad: Wgrad,
}

impl Conv2dBackend for Cpu {
    type Conv2dPlan = Conv2dPlan;

    fn conv2d_plan(&self, geometry: &Conv2d, dtype: DType) -> Result<Conv2dPlan> {
        let mut plan = self.conv2d_tables(geometry, dtype);
        match &mut plan.kernels {
            Kernels::Full(full) => {
                full.fprop.make_room();
                full.dgrad.make_room();
            }
            Kernels::Winograd(winograd) => winograd.make_room(),
            Kernels::Depthwise(depthwise) => depthwise.make_room(),
        }
        Ok(plan)
    }

    fn conv2d_memory(&self, geometry: &Conv2d, dtype: DType, _: usize) -> Conv2dMemory {
        let Footprint { plan, scratch } = self.conv2d_tables(geometry, dtype).footprint();
        Conv2dMemory::undivided(plan, scratch.bytes())
    }

    fn conv2d_load(&self, plan: &mut Conv2dPlan, filters: &Buffer) -> Result<()> {
        let filters = &filters.slice::<f32>()[..plan.geometry.filter_shape().count()];
        with_float!("conv2d_load", plan, T => {
            let Conv2dPlan { engine, kernels, .. } = plan;
            engine.run(LoadTask { kernels, filters, dtype: PhantomData::<T> });
        });
        Ok(())
    }

    fn conv2d_fprop(
        &self,
        plan: &Conv2dPlan,
        images: usize,
        x: &Buffer,
        epilogue: Epilogue<'_, Self>,
        y: &mut Buffer,
    ) -> Result<()> {
        let bias = epilogue.bias.map(|bias| &bias.slice::<f32>()[..plan.geometry.filters]);
        with_float!("conv2d", x, T => {
            let pass = Pass { plan, bias, relu: epilogue.relu, x: x.slice::<T>() };
            let map = plan.geometry.map_len();
            self.chunks(&mut y.slice_mut::<T>()[..images * map], map, |first, y| {
                with_scratch(|scratch| {
                    plan.engine.run(FpropTask { pass: &pass, first, y, scratch });
                });
            });
        });
        Ok(())
    }

    fn conv2d_dgrad(
        &self,
        plan: &Conv2dPlan,
        images: usize,
        dy: &Buffer,
        mask: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()> {
        with_float!("conv2d_dgrad", dy, T => {
            let (dy, mask) = (dy.slice::<T>(), mask.map(|mask| mask.slice::<T>()));
            let image = plan.geometry.image_len();
            self.chunks(&mut dx.slice_mut::<T>()[..images * image], image, |first, dx| {
                with_scratch(|scratch| {
                    plan.engine.run(DgradTask { plan, first, dy, mask, dx, scratch });
                });
            });
        });
        Ok(())
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
        let dw = &mut dw.slice_mut::<f32>()[..plan.geometry.filter_shape().count()];
        if sum == Sum::Store {
            dw.fill(0.0);
        }
        with_float!("conv2d_wgrad", x, T => {
            let (x, dy) = (x.slice::<T>(), dy.slice::<T>());
            let (image, map) = (plan.geometry.image_len(), plan.geometry.map_len());
            self.sum_blocks(images, WGRAD_BLOCK, dw, |block, dw| {
                let x = &x[block.start * image..block.end * image];
                let dy = &dy[block.start * map..block.end * map];
                with_scratch(|scratch| plan.engine.run(WgradTask { plan, x, dy, dw, scratch }));
            });
        });
        Ok(())
    }

    fn conv2d_gradient_pieces(&self, _: &Conv2dPlan, _: usize) -> usize {
        1
    }

    fn conv2d_wgrad_pieces(
        &self,
        plan: &Conv2dPlan,
        images: usize,
        x: &Buffer,
        dy: &Buffer,
        pieces: &mut Buffer,
    ) -> Result<()> {
        self.conv2d_wgrad(plan, images, x, dy, Sum::Store, pieces)
    }
}

impl Cpu {
    /// A plan without room for its filters.
    fn conv2d_tables(&self, geometry: &Conv2d, dtype: DType) -> Conv2dPlan {
        // Depthwise products are of f32 values, not of pairs.
        let dtype_of_words = match geometry.connection {
            Connection::Full => dtype,
            Connection::Depthwise => DType::F32,
        };
        let engine = Engine::new(self.isa, dtype_of_words);
        let winograd = match self.conv2d {
            Conv2dAlgorithm::Winograd => Winograd::new(geometry, engine, dtype),
            Conv2dAlgorithm::Direct => None,
        };
        let kernels = match (geometry.connection, winograd) {
            (_, Some(winograd)) => Kernels::Winograd(Box::new(winograd)),
            (Connection::Full, None) => Kernels::Full(Box::new(Full {
                fprop: Fprop::new(geometry, engine, dtype),
                dgrad: Dgrad::new(geometry, engine, dtype),
                wgrad: Wgrad::new(geometry, engine, dtype),
            })),
            (Connection::Depthwise, None) => {
                Kernels::Depthwise(Box::new(Depthwise::new(geometry, dtype)))
            }
        };
        Conv2dPlan { geometry: *geometry, dtype, engine, kernels }
    }
}

impl Conv2dPlan {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn footprint(&self) -> Footprint {
        match &self.kernels {
            Kernels::Full(full) => Footprint::in_turn([
                full.fprop.footprint(),
                full.dgrad.footprint(),
                full.wgrad.footprint(),
            ]),
            Kernels::Winograd(winograd) => Footprint::in_turn(winograd.footprints()),
            Kernels::Depthwise(depthwise) => depthwise.footprint(),
        }
    }
}

/// What a pass takes: bytes of its plan, and scratch of the thread that runs it.
#[derive(Clone, Copy)]
struct Footprint {
    plan: usize,
    scratch: Demand,
}

impl Footprint {
    /// That of passes that run one after another.
    fn in_turn<const N: usize>(passes: [Footprint; N]) -> Self {
        Footprint {
            plan: passes.iter().map(|pass| pass.plan).sum(),
            scratch: passes.iter().map(|pass| pass.scratch).fold(Demand::default(), Demand::and),
        }
    }
}

impl Conv2d {
    fn image_len(&self) -> usize {
        self.input[0] * self.input[1] * self.channels
    }

    fn map_len(&self) -> usize {
        self.output()[0] * self.output()[1] * self.filters
    }
}

struct LoadTask<'a, T> {
    kernels: &'a mut Kernels,
    filters: &'a [f32],
    dtype: PhantomData<T>,
}

impl<T: Float> Task for LoadTask<'_, T> {
    #[inline(always)]
    fn run<M: Arithmetic>(self) {
        match self.kernels {
            Kernels::Full(full) => {
                full.fprop.load::<T>(self.filters);
                full.dgrad.load::<T>(self.filters);
            }
            Kernels::Winograd(winograd) => winograd.load::<M, T>(self.filters),
            Kernels::Depthwise(depthwise) => depthwise.load::<T>(self.filters),
        }
    }
}

/// What all images of a forward pass share.
struct Pass<'a, T> {
    plan: &'a Conv2dPlan,
    bias: Option<&'a [f32]>,
    relu: bool,
    x: &'a [T],
}

struct FpropTask<'a, T> {
    pass: &'a Pass<'a, T>,
    first: usize,
    y: &'a mut [T],
    scratch: &'a mut Scratch,
}

impl<T: Float> Task for FpropTask<'_, T> {
    #[inline(always)]
    fn run<M: Arithmetic>(self) {
        let Pass { plan, bias, relu, x } = *self.pass;
        let (image, map) = (plan.geometry.image_len(), plan.geometry.map_len());
        let x = &x[self.first * image..][..self.y.len() / map * image];
        let (epilogue, FpropTask { y, scratch, .. }) = ((bias, relu), self);
        let images = x.chunks_exact(image).zip(y.chunks_exact_mut(map));
        match &plan.kernels {
            Kernels::Winograd(winograd) => winograd.fprop::<M, T>(x, epilogue, y, scratch),
            Kernels::Full(full) => {
                for (x, y) in images {
                    full.fprop.image::<M, T>(x, epilogue, y, scratch);
                }
            }
            Kernels::Depthwise(kernel) => {
                for (x, y) in images {
                    kernel.fprop::<M, T>(x, epilogue, y, scratch);
                }
            }
        }
    }
}

struct DgradTask<'a, T> {
    plan: &'a Conv2dPlan,
    first: usize,
    dy: &'a [T],
    mask: Option<&'a [T]>,
    dx: &'a mut [T],
    scratch: &'a mut Scratch,
}

impl<T: Float> Task for DgradTask<'_, T> {
    #[inline(always)]
    fn run<M: Arithmetic>(self) {
        let DgradTask { plan, first, dy, mask, dx, scratch } = self;
        let (image, map) = (plan.geometry.image_len(), plan.geometry.map_len());
        let dy = &dy[first * map..][..dx.len() / image * map];
        let mask = mask.map(|mask| &mask[first * image..][..dx.len()]);
        let of_image = |index: usize| mask.map(|mask| &mask[index * image..][..image]);
        let images = dy.chunks_exact(map).zip(dx.chunks_exact_mut(image)).enumerate();
        match &plan.kernels {
            Kernels::Winograd(winograd) => winograd.dgrad::<M, T>(dy, mask, dx, scratch),
            Kernels::Full(full) => {
                for (index, (dy, dx)) in images {
                    full.dgrad.image::<M, T>(dy, of_image(index), dx, scratch);
                }
            }
            Kernels::Depthwise(kernel) => {
                for (index, (dy, dx)) in images {
                    kernel.dgrad::<M, T>(dy, of_image(index), dx);
                }
            }
        }
    }
}

struct WgradTask<'a, T> {
    plan: &'a Conv2dPlan,
    x: &'a [T],
    dy: &'a [T],
    dw: &'a mut [f32],
    scratch: &'a mut Scratch,
}

impl<T: Float> Task for WgradTask<'_, T> {
    #[inline(always)]
    fn run<M: Arithmetic>(self) {
        let WgradTask { plan, x, dy, dw, scratch } = self;
        let (image, map) = (plan.geometry.image_len(), plan.geometry.map_len());
        let images = x.chunks_exact(image).zip(dy.chunks_exact(map));
        match &plan.kernels {
            Kernels::Winograd(winograd) => winograd.wgrad::<M, T>(x, dy, dw, scratch),
            Kernels::Full(full) => {
                for (x, dy) in images {
                    full.wgrad.image::<M, T>(x, dy, dw, scratch);
                }
            }
            Kernels::Depthwise(kernel) => {
                for (x, dy) in images {
                    kernel.wgrad::<M, T>(x, dy, dw, scratch);
                }
            }
        }
    }
}
