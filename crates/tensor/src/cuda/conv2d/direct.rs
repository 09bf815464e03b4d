//! Passes with a thread a result: for the geometries that the others cannot take, depthwise
//! convolutions among them, and for tests to compare the others with.

use bytemuck::NoUninit;

use super::window::{OP, extents};
use super::{Gradient, Operands, Slices, depthwise};
use crate::cuda::images::{counted, counted2, each_image};
use crate::cuda::launch::Grid;
use crate::cuda::module::{Kernel, kernels};
use crate::cuda::{Buffer, Cuda};
use crate::ops::{Connection, Conv2d, Sum};
use crate::{DType, Memory, Result};

kernels! { nasrl_kernels::CONV2D_DIRECT {
    FPROP: conv2d_direct_fprop<f32, bf16, f16>(read T, read T, read f32, write T; Geometry);
    DGRAD: conv2d_direct_dgrad<f32, bf16, f16>(read T, read T, read T, write T; Geometry);
    WGRAD: conv2d_direct_wgrad<f32, bf16, f16>(read T, read T, write f32; Sliced);
    WGRAD_TOTAL: conv2d_wgrad_total(read f32, write f32; Parts);
} }

/// The geometry of `conv2d.cuh`.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
pub(super) struct Geometry {
    images: u64,
    input: [u32; 2],
    output: [u32; 2],
    kernel: [u32; 2],
    stride: [u32; 2],
    dilation: [u32; 2],
    before: [u32; 2],
    channels: u32,
    filters: u32,
    relu: u32,
    reserved: u32,
}

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
pub(super) struct Sliced {
    conv: Geometry,
    pixels_a_slice: u64,
}

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Parts {
    len: u64,
    slices: u32,
    add: u32,
}

/// The kernels of a pass that has a thread a result, and how many results a thread has.
pub(super) type Pass = (&'static Kernel<4, Geometry>, usize);

/// A convolution by single results.
pub(super) struct Direct {
    geometry: Conv2d,
    /// KRSC, of the activations' type.
    filters: Buffer,
}

impl Direct {
    pub(super) fn new(on: &Cuda, geometry: &Conv2d, dtype: DType) -> Result<Self> {
        let filters = on.zeros(dtype, geometry.filter_shape().count())?;
        Ok(Direct { geometry: *geometry, filters })
    }

    pub(super) fn load(&mut self, on: &Cuda, filters: &Buffer) -> Result<()> {
        let count = self.geometry.filter_shape().count();
        if filters.dtype() == self.filters.dtype() {
            return on.copy(count, filters, &mut self.filters);
        }
        on.cast(count, filters, &mut self.filters)
    }

    pub(super) fn fprop(&self, on: &Cuda, operands: &Operands<'_>, y: &mut Buffer) -> Result<()> {
        let [input, output] = extents(&self.geometry).map(|extent| extent.elements());
        let (kernel, lanes) = match self.geometry.connection {
            Connection::Full => (&FPROP, 1),
            Connection::Depthwise => depthwise::fprop(self.geometry.channels),
        };
        let &Operands { images, x, bias, .. } = operands;
        let arguments = [
            x.read(images * input),
            self.filters.read(self.filters.capacity()),
            bias.map_or(on.absent(DType::F32), |bias| bias.read(self.geometry.filters)),
            y.write(images * output),
        ];
        let geometry = self.pass(images, operands.relu)?;
        on.launch(kernel, each_image(OP, images, output / lanes)?, arguments, geometry)
    }

    pub(super) fn dgrad(&self, on: &Cuda, operands: &Operands<'_>, dx: &mut Buffer) -> Result<()> {
        let [input, output] = extents(&self.geometry).map(|extent| extent.elements());
        let (kernel, lanes) = match self.geometry.connection {
            Connection::Full => (&DGRAD, 1),
            Connection::Depthwise => depthwise::dgrad(self.geometry.channels),
        };
        let &Operands { images, x: dy, mask, .. } = operands;
        let arguments = [
            dy.read(images * output),
            self.filters.read(self.filters.capacity()),
            mask.map_or(on.absent(dx.dtype()), |mask| mask.read(images * input)),
            dx.write(images * input),
        ];
        let geometry = self.pass(images, false)?;
        on.launch(kernel, each_image(OP, images, input / lanes)?, arguments, geometry)
    }

    /// Writes the slices' parts of the gradient.
    pub(super) fn wgrad(
        &self,
        on: &Cuda,
        gradient: &Gradient<'_>,
        partial: &mut Buffer,
        slices: Slices,
    ) -> Result<()> {
        let [input, output] = extents(&self.geometry).map(|extent| extent.elements());
        let &Gradient { images, x, dy } = gradient;
        let count = self.geometry.filter_shape().count();
        let (kernel, blocks) = match self.geometry.connection {
            Connection::Full => (&WGRAD, [count.div_ceil(256), slices.count, 1]),
            Connection::Depthwise => depthwise::wgrad(&self.geometry, slices.count),
        };
        let arguments =
            [x.read(images * input), dy.read(images * output), partial.write(slices.count * count)];
        let conv = self.pass(images, false)?;
        let geometry = Sliced { conv, pixels_a_slice: slices.pixels as u64 };
        on.launch(kernel, Grid { blocks, ..Grid::blocks(0) }, arguments, geometry)
    }

    fn pass(&self, images: usize, relu: bool) -> Result<Geometry> {
        let g = &self.geometry;
        Ok(Geometry {
            images: images as u64,
            input: counted2(OP, "input", g.input)?,
            output: counted2(OP, "output", g.output())?,
            kernel: counted2(OP, "kernel", g.kernel)?,
            stride: counted2(OP, "stride", g.stride)?,
            dilation: counted2(OP, "dilation", g.dilation)?,
            before: counted2(OP, "padding", [g.padding.top, g.padding.left])?,
            channels: counted(OP, "channels", g.channels)?,
            filters: counted(OP, "filters", g.filters)?,
            relu: u32::from(relu),
            reserved: 0,
        })
    }
}

/// The gradient of `count` elements of filters from its slices' parts.
pub(super) fn total(
    on: &Cuda,
    (partial, slices): (&Buffer, Slices),
    sum: Sum,
    (dw, count): (&mut Buffer, usize),
) -> Result<()> {
    let add = u32::from(sum == Sum::Add);
    let parts = Parts { len: count as u64, slices: slices.count as u32, add };
    let arguments = [partial.read(slices.count * count), dw.write(count)];
    on.launch(&WGRAD_TOTAL, Grid::over(count, 256), arguments, parts)
}
