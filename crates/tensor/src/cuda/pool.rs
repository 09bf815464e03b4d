use bytemuck::NoUninit;

use super::images::{counted, counted2, each_image};
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{Pool2d, Pool2dBackend, Pooling};

kernels! { nasrl_kernels::POOL {
    ONE: pool_one<f32, bf16, f16>(read T, write T; Pool);
    EIGHT: pool_eight<f32, bf16, f16>(read T, write T; Pool);
    BACKWARD_ONE: pool_backward_one<f32, bf16, f16>(read T, read T, write T; Pool);
    BACKWARD_EIGHT: pool_backward_eight<f32, bf16, f16>(read T, read T, write T; Pool);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Pool {
    images: u64,
    input: [u32; 2],
    output: [u32; 2],
    channels: u32,
    window: [u32; 2],
    stride: [u32; 2],
    before: [u32; 2],
    pooling: u32,
}

impl Pool {
    fn of(op: &'static str, geometry: &Pool2d, images: usize) -> Result<Self> {
        Ok(Pool {
            images: images as u64,
            input: counted2(op, "input", geometry.input)?,
            output: counted2(op, "output", geometry.output())?,
            channels: counted(op, "channels", geometry.channels)?,
            window: counted2(op, "window", geometry.window)?,
            stride: counted2(op, "stride", geometry.stride)?,
            before: counted2(op, "padding", [geometry.padding.top, geometry.padding.left])?,
            pooling: match geometry.pooling {
                Pooling::Max => 0,
                Pooling::Average => 1,
            },
        })
    }
}

/// Elements of an image before and after pooling.
fn sizes(geometry: &Pool2d) -> [usize; 2] {
    [geometry.input, geometry.output()].map(|[height, width]| height * width * geometry.channels)
}

impl Pool2dBackend for Cuda {
    fn pool2d(&self, geometry: &Pool2d, images: usize, x: &Buffer, y: &mut Buffer) -> Result<()> {
        const OP: &str = "pool2d";
        let [input, output] = sizes(geometry);
        let (kernel, lanes) = match geometry.channels.is_multiple_of(8) {
            true => (&EIGHT, 8),
            false => (&ONE, 1),
        };
        let arguments = [x.read(images * input), y.write(images * output)];
        let grid = each_image(OP, images, output / lanes)?;
        counted(OP, "the number of elements of an image", input)?;
        self.launch(kernel, grid, arguments, Pool::of(OP, geometry, images)?)
    }

    fn pool2d_backward(
        &self,
        geometry: &Pool2d,
        images: usize,
        x: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "pool2d_backward";
        let [input, output] = sizes(geometry);
        let (kernel, lanes) = match geometry.channels.is_multiple_of(8) {
            true => (&BACKWARD_EIGHT, 8),
            false => (&BACKWARD_ONE, 1),
        };
        let arguments =
            [x.read(images * input), dy.read(images * output), dx.write(images * input)];
        let grid = each_image(OP, images, input / lanes)?;
        self.launch(kernel, grid, arguments, Pool::of(OP, geometry, images)?)
    }
}
