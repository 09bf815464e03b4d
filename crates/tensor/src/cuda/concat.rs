use bytemuck::NoUninit;

use super::launch::Grid;
use super::module::kernels;
use super::pieces::Pieces;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{ConcatBackend, CopyChannels, Sum};

kernels! { nasrl_kernels::CONCAT {
    ONE: copy_channels<f32, bf16, f16>(read T, write T; Channels);
    EIGHT: copy_channels_eight<f32, bf16, f16>(read T, write T; Channels);
} }

const COPY: Pieces<2, Channels> = Pieces { one: &ONE, eight: &EIGHT };

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
        let &CopyChannels { rows, channels, from, to } = geometry;
        let places = [channels, from.first, from.width, to.first, to.width];
        let (kernel, piece) = COPY.choose(&places);
        let [row, from_first, from_width, to_first, to_width] =
            places.map(|place| (place / piece) as u64);
        let geometry = Channels {
            rows: rows as u64,
            channels: row,
            from_first,
            from_width,
            to_first,
            to_width,
            add: u32::from(sum == Sum::Add),
            reserved: 0,
        };
        let grid = Grid::pieces(rows * channels / piece);
        self.launch(kernel, grid, [x.read(rows * from.width), y.write(rows * to.width)], geometry)
    }
}
