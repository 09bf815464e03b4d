use super::gather;
use super::wgrad::Geometry;
use crate::cuda::module::{Kernel, kernels};

kernels! { nasrl_kernels::CONV2D_TILED {
    TILED_GATHER: conv2d_tiled_gather(
        read f32, read f32, read u32, read f32, read f32, write f32; gather::Geometry
    );
    TILED_WGRAD: conv2d_tiled_wgrad(read f32, read f32, read u32, write f32; Geometry);
} }

pub(super) static GATHER: &Kernel<6, gather::Geometry> = &TILED_GATHER;

pub(super) static WGRAD: &Kernel<4, Geometry> = &TILED_WGRAD;
