use bytemuck::NoUninit;

use super::images::{counted, each_image};
use super::launch::Grid;
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{GlobalAveragePool, GlobalAveragePoolBackend};

kernels! { nasrl_kernels::GLOBAL_AVERAGE_POOL {
    FORWARD: global_average_pool<f32, bf16, f16>(read T, write f32; Maps);
    BACKWARD:
        global_average_pool_backward<f32, bf16, f16>(read f32, read T, write T; Maps);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Maps {
    images: u64,
    pixels: u32,
    channels: u32,
}

impl Maps {
    fn of(op: &'static str, geometry: &GlobalAveragePool) -> Result<Self> {
        Ok(Maps {
            images: geometry.images as u64,
            pixels: counted(op, "pixels", geometry.pixels)?,
            channels: counted(op, "channels", geometry.channels)?,
        })
    }
}

impl GlobalAveragePoolBackend for Cuda {
    fn global_average_pool(
        &self,
        geometry: &GlobalAveragePool,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        let &GlobalAveragePool { images, pixels, channels } = geometry;
        let maps = Maps::of("global_average_pool", geometry)?;
        let arguments = [x.read(images * pixels * channels), y.write(images * channels)];
        let grid = Grid { blocks: [images, channels.div_ceil(32), 1], ..Grid::blocks(0) };
        self.launch(&FORWARD, grid, arguments, maps)
    }

    fn global_average_pool_backward(
        &self,
        geometry: &GlobalAveragePool,
        dy: &Buffer,
        mask: Option<&Buffer>,
        dx: &mut Buffer,
    ) -> Result<()> {
        const OP: &str = "global_average_pool_backward";
        let &GlobalAveragePool { images, pixels, channels } = geometry;
        let maps = Maps::of(OP, geometry)?;
        let (image, len) = (pixels * channels, images * pixels * channels);
        let mask = mask.map_or(self.absent(dx.dtype()), |mask| mask.read(len));
        let arguments = [dy.read(images * channels), mask, dx.write(len)];
        self.launch(&BACKWARD, each_image(OP, images, image)?, arguments, maps)
    }
}
