use bytemuck::NoUninit;

use super::launch::Grid;
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{ConcatBackend, CopyChannels, Sum};

kernels! { nasrl_kernels::CONCAT {
    COPY_CHANNELS: copy_channels<f32, bf16, f16>(read T, write T; Channels);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Channels {
    rows: u64,
    channels: u64,
    from_first: u64,
    from_width: u64,
    to_first: u64,
    to_width: u64,
    add: u32,
    reserved: u32,
}

impl ConcatBackend for Cuda {
    fn copy_channels(
        &self,
        geometry: &CopyChannels,
        x: &Buffer,
        sum: Sum,
        y: &mut Buffer,
    ) -> Result<()> {
        let CopyChannels { rows, channels, from, to } = *geometry;
        let arguments = [x.read(rows * from.width), y.write(rows * to.width)];
        let geometry = Channels {
            rows: rows as u64,
            channels: channels as u64,
            from_first: from.first as u64,
            from_width: from.width as u64,
            to_first: to.first as u64,
            to_width: to.width as u64,
            add: u32::from(sum == Sum::Add),
            reserved: 0,
        };
        self.launch(&COPY_CHANNELS, Grid::over(rows * channels, 256), arguments, geometry)
    }
}
