use bytemuck::NoUninit;

use super::launch::Grid;
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{Dropout, DropoutBackend};

kernels! { nasrl_kernels::DROPOUT {
    DROPOUT: dropout<f32, bf16, f16>(read T, read u32, write T; Dropped);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Dropped {
    len: u64,
    offset: u64,
    step: u64,
    key: [u32; 2],
    threshold: u32,
    scale: f32,
}

impl DropoutBackend for Cuda {
    fn dropout(
        &self,
        dropout: &Dropout,
        clock: Option<&Buffer>,
        len: usize,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        let geometry = Dropped {
            len: len as u64,
            offset: dropout.offset,
            step: dropout.step,
            key: dropout.key.0,
            threshold: dropout.threshold(),
            scale: dropout.scale(),
        };
        let arguments = [x.read(len), self.clock(clock), y.write(len)];
        self.launch(&DROPOUT, Grid::elementwise(len), arguments, geometry)
    }
}
