use super::direct::{Geometry, Pass, Sliced};
use crate::cuda::module::{Kernel, kernels};
use crate::ops::Conv2d;

kernels! { nasrl_kernels::CONV2D_DEPTHWISE {
    FPROP_ONE:
        conv2d_depthwise_fprop_one<f32, bf16, f16>(read T, read T, read f32, write T; Geometry);
    FPROP_EIGHT:
        conv2d_depthwise_fprop_eight<f32, bf16, f16>(read T, read T, read f32, write T; Geometry);
    DGRAD_ONE:
        conv2d_depthwise_dgrad_one<f32, bf16, f16>(read T, read T, read T, write T; Geometry);
    DGRAD_EIGHT:
        conv2d_depthwise_dgrad_eight<f32, bf16, f16>(read T, read T, read T, write T; Geometry);
    WGRAD: conv2d_depthwise_wgrad<f32, bf16, f16>(read T, read T, write f32; Sliced);
} }

pub(super) fn fprop(channels: usize) -> Pass {
    match channels.is_multiple_of(8) {
        true => (&FPROP_EIGHT, 8),
        false => (&FPROP_ONE, 1),
    }
}

pub(super) fn dgrad(channels: usize) -> Pass {
    match channels.is_multiple_of(8) {
        true => (&DGRAD_EIGHT, 8),
        false => (&DGRAD_ONE, 1),
    }
}

/// The kernel for a number of slices, and its blocks.
pub(super) fn wgrad(geometry: &Conv2d, slices: usize) -> (&'static Kernel<3, Sliced>, [usize; 3]) {
    let taps = geometry.kernel[0] * geometry.kernel[1];
    (&WGRAD, [geometry.channels.div_ceil(32), taps, slices])
}
