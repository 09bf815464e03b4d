//! Fused convolutions as the operations that they consist of.

use super::Conv2dPlan;
use crate::cpu::Cpu;
use crate::ops::{
    Conv2d, Conv2dFusion, Conv2dParts, Epilogue, FilterGradients, FusedConv2dBackend, InSteps,
    Output, OutputGradient, Segment, SegmentMut,
};
use crate::{DType, Result};

impl FusedConv2dBackend for Cpu {
    fn conv2d_fusion(&self, _: &Conv2d, _: DType) -> Option<Conv2dFusion> {
        None
    }

    fn conv2d_parts(&self, _: &Conv2dPlan, _: usize) -> Conv2dParts {
        Conv2dParts { moments: 1, sums: 1 }
    }

    fn conv2d_fprop_fused(
        &self,
        plan: &Conv2dPlan,
        images: usize,
        x: &[Segment<'_, Self>],
        epilogue: Epilogue<'_, Self>,
        output: Output<'_, Self>,
    ) -> Result<()> {
        plan.in_steps(self, images).fprop(x, epilogue, output)
    }

    fn conv2d_dgrad_fused(
        &self,
        plan: &Conv2dPlan,
        images: usize,
        dy: &OutputGradient<'_, Self>,
        dx: &mut [SegmentMut<'_, Self>],
    ) -> Result<()> {
        plan.in_steps(self, images).dgrad(dy, dx)
    }

    fn conv2d_wgrad_fused(
        &self,
        plan: &Conv2dPlan,
        images: usize,
        x: &[Segment<'_, Self>],
        dy: &OutputGradient<'_, Self>,
        gradients: FilterGradients<'_, Self>,
    ) -> Result<()> {
        plan.in_steps(self, images).wgrad(x, dy, gradients)
    }
}

impl Conv2dPlan {
    fn in_steps<'a>(&'a self, on: &'a Cpu, images: usize) -> InSteps<'a, Cpu> {
        InSteps { on, plan: self, geometry: &self.geometry, images }
    }
}
