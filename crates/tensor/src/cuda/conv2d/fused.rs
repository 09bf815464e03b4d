//! Passes on tensor cores, of which each reads and writes what `source.cuh` and `results.cuh` say.

use super::gather::{self, Gather};
use super::pack::Packed;
use super::segments::{self, Operands};
use super::wgrad;
use super::{Conv2dAlgorithm, Conv2dPlan, Gemm, Kernels, direct};
use crate::cuda::{Buffer, Cuda};
use crate::ops::{
    Conv2d, Conv2dFusion, Conv2dParts, Epilogue, FilterGradients, FusedConv2dBackend, GradientForm,
    InSteps, Output, OutputGradient, Segment, SegmentMut,
};
use crate::{DType, Result};

impl FusedConv2dBackend for Cuda {
    fn conv2d_fusion(&self, geometry: &Conv2d, dtype: DType) -> Option<Conv2dFusion> {
        let gemm = Gemm::of(geometry, dtype, Conv2dAlgorithm::default()).ok().flatten()?;
        let (channels, segments) = (segments::HALF, segments::MOST);
        gemm.fuses().then_some(Conv2dFusion { channels, segments })
    }

    fn conv2d_parts(&self, plan: &Conv2dPlan, images: usize) -> Conv2dParts {
        match &plan.kernels {
            Kernels::Gemm(gemm, _) => gemm.parts(images),
            Kernels::Direct(_) => Conv2dParts { moments: 1, sums: 1 },
        }
    }

    fn conv2d_fprop_fused(
        &self,
        plan: &Conv2dPlan,
        images: usize,
        x: &[Segment<'_, Self>],
        epilogue: Epilogue<'_, Self>,
        output: Output<'_, Self>,
    ) -> Result<()> {
        let steps = plan.in_steps(self, images);
        let Some((gemm, packed)) = plan.on_tensor_cores() else {
            return steps.fprop(x, epilogue, output);
        };
        let Some(source) = plan.inputs(self, images).source(x)? else {
            let whole = steps.input(x)?;
            let x = [Segment::plain(whole.buffer(), plan.geometry.channels)];
            return self.conv2d_fprop_fused(plan, images, &x, epilogue, output);
        };
        let sinks = plan.outputs(self, images).output(output, plan.geometry.filters)?;
        let Epilogue { bias, relu } = epilogue;
        let endpoints = gather::Endpoints { source, bias, relu, sinks };
        gemm.fprop.run(self, (packed, [0, 0]), images, endpoints)
    }

    fn conv2d_dgrad_fused(
        &self,
        plan: &Conv2dPlan,
        images: usize,
        dy: &OutputGradient<'_, Self>,
        dx: &mut [SegmentMut<'_, Self>],
    ) -> Result<()> {
        let steps = plan.in_steps(self, images);
        let Some((gemm, packed)) = plan.on_tensor_cores() else { return steps.dgrad(dy, dx) };
        let Some(source) = plan.outputs(self, images).gradient(dy, plan.geometry.filters)? else {
            let whole = steps.gradient(dy)?;
            let dy = OutputGradient::plain(whole.buffer());
            return self.conv2d_dgrad_fused(plan, images, &dy, dx);
        };
        let Some(sinks) = plan.inputs(self, images).sinks(dx)? else {
            return steps.dgrad(dy, dx);
        };
        let endpoints = gather::Endpoints { source, bias: None, relu: false, sinks };
        gemm.dgrad.run(self, (packed, gemm.fprop.lens()), images, endpoints)
    }

    fn conv2d_wgrad_fused(
        &self,
        plan: &Conv2dPlan,
        images: usize,
        x: &[Segment<'_, Self>],
        dy: &OutputGradient<'_, Self>,
        gradients: FilterGradients<'_, Self>,
    ) -> Result<()> {
        let steps = plan.in_steps(self, images);
        if plan.on_tensor_cores().is_none() {
            return steps.wgrad(x, dy, gradients);
        }
        let FilterGradients { dw, bias, form } = gradients;
        let GradientForm::Total(sum) = form else {
            return self.pieces(plan, images, (x, dy), (dw, bias));
        };
        let (count, filters) = (plan.geometry.filter_shape().count(), plan.geometry.filters);
        let slices = plan.slices(images);
        let mut of_filters = self.scratch(DType::F32, slices.count * count)?;
        let of_bias = bias.as_ref().map(|_| self.scratch(DType::F32, slices.count * filters));
        let mut of_bias = of_bias.transpose()?;
        self.pieces(plan, images, (x, dy), (&mut of_filters, of_bias.as_deref_mut()))?;
        direct::total(self, (&of_filters, slices), sum, (dw, count))?;
        match bias.zip(of_bias) {
            Some((bias, pieces)) => direct::total(self, (&pieces, slices), sum, (bias, filters)),
            None => Ok(()),
        }
    }
}

impl Cuda {
    /// Writes the pieces of the gradients of filters and bias on tensor cores.
    fn pieces(
        &self,
        plan: &Conv2dPlan,
        images: usize,
        (x, dy): (&[Segment<'_, Self>], &OutputGradient<'_, Self>),
        (dw, bias): (&mut Buffer, Option<&mut Buffer>),
    ) -> Result<()> {
        let steps = plan.in_steps(self, images);
        let Some((gemm, packed)) = plan.on_tensor_cores() else { return Ok(()) };
        let Some(source) = plan.inputs(self, images).source(x)? else {
            let whole = steps.input(x)?;
            let x = [Segment::plain(whole.buffer(), plan.geometry.channels)];
            return self.pieces(plan, images, (&x, dy), (dw, bias));
        };
        let outputs = plan.outputs(self, images);
        let Some(gradient) = outputs.gradient(dy, plan.geometry.filters)? else {
            let whole = steps.gradient(dy)?;
            let dy = OutputGradient::plain(whole.buffer());
            return self.pieces(plan, images, (x, &dy), (dw, bias));
        };
        let slices = plan.slices(images);
        let len = slices.count * plan.geometry.filters;
        let bias = bias.map_or(Ok(0), |bias| outputs.statistics(bias.write(len)))?;
        let [_, taps] = packed.buffers();
        let endpoints = wgrad::Endpoints { x: source, dy: dy.dy, gradient, bias };
        gemm.wgrad.run(self, taps, (images, endpoints), (dw, slices))
    }
}

impl Conv2dPlan {
    /// What runs on tensor cores, if it does.
    pub(super) fn on_tensor_cores(&self) -> Option<(&Gemm, &Packed)> {
        match &self.kernels {
            Kernels::Gemm(gemm, packed) if gemm.fuses() => Some((gemm, packed)),
            Kernels::Gemm(..) | Kernels::Direct(_) => None,
        }
    }

    fn in_steps<'a>(&'a self, on: &'a Cuda, images: usize) -> InSteps<'a, Cuda> {
        InSteps { on, plan: self, geometry: &self.geometry, images }
    }

    /// Activations like the input.
    pub(super) fn inputs<'a>(&self, on: &'a Cuda, images: usize) -> Operands<'a> {
        self.operands(on, images, self.geometry.input)
    }

    fn outputs<'a>(&self, on: &'a Cuda, images: usize) -> Operands<'a> {
        self.operands(on, images, self.geometry.output())
    }

    fn operands<'a>(&self, on: &'a Cuda, images: usize, size: [usize; 2]) -> Operands<'a> {
        let parts = on.conv2d_parts(self, images);
        Operands { on, dtype: self.dtype, pixels: images * size[0] * size[1], parts }
    }
}

impl Gemm {
    /// Whether all passes run on tensor cores.
    fn fuses(&self) -> bool {
        [&self.fprop, &self.dgrad].into_iter().all(Gather::fuses) && self.wgrad.fuses()
    }

    /// How many parts statistics come in.
    pub(super) fn parts(&self, images: usize) -> Conv2dParts {
        Conv2dParts { moments: self.fprop.parts(images), sums: self.dgrad.parts(images) }
    }
}
