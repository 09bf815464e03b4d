use bytemuck::NoUninit;

use super::launch::Grid;
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::AddBackend;

kernels! { nasrl_kernels::ADD {
    ADD: add<f32, bf16, f16>(read T, read T, write T; Elements);
    ADD_ASSIGN: add_assign<f32, bf16, f16>(read T, write T; Elements);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Elements {
    len: u64,
}

impl AddBackend for Cuda {
    fn add(&self, len: usize, a: &Buffer, b: &Buffer, y: &mut Buffer) -> Result<()> {
        let arguments = [a.read(len), b.read(len), y.write(len)];
        self.launch(&ADD, Grid::elementwise(len), arguments, Elements { len: len as u64 })
    }

    fn add_assign(&self, len: usize, x: &Buffer, y: &mut Buffer) -> Result<()> {
        let arguments = [x.read(len), y.write(len)];
        self.launch(&ADD_ASSIGN, Grid::elementwise(len), arguments, Elements { len: len as u64 })
    }
}
