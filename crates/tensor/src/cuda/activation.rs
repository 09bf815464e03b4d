use bytemuck::NoUninit;

use super::launch::Grid;
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{Activation, ActivationBackend};

kernels! { nasrl_kernels::ACTIVATION {
    FORWARD: activation<f32, bf16, f16>(read T, write T; Elements);
    BACKWARD: activation_backward<f32, bf16, f16>(read T, read T, write T; Elements);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Elements {
    len: u64,
    function: u32,
    reserved: u32,
}

/// The number of a function in `function.cuh`.
pub(super) fn function(f: Option<Activation>) -> u32 {
    match f {
        None => 0,
        Some(Activation::Relu) => 1,
        Some(Activation::Tanh) => 2,
        Some(Activation::Sigmoid) => 3,
    }
}

impl ActivationBackend for Cuda {
    fn activation(&self, f: Activation, len: usize, x: &Buffer, y: &mut Buffer) -> Result<()> {
        let arguments = [x.read(len), y.write(len)];
        self.launch(&FORWARD, Grid::elementwise(len), arguments, elements(f, len))
    }

    fn activation_backward(
        &self,
        f: Activation,
        len: usize,
        y: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        let arguments = [y.read(len), dy.read(len), dx.write(len)];
        self.launch(&BACKWARD, Grid::elementwise(len), arguments, elements(f, len))
    }
}

fn elements(f: Activation, len: usize) -> Elements {
    Elements { len: len as u64, function: function(Some(f)), reserved: 0 }
}
