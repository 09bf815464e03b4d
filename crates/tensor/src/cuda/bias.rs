use bytemuck::NoUninit;

use super::activation::function;
use super::columns::Slices;
use super::launch::Grid;
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::ops::{Activation, BiasBackend, Rows, Sum};
use crate::{DType, Result};

kernels! { nasrl_kernels::BIAS {
    FORWARD: bias<f32, bf16, f16>(read T, read f32, write T; Biased);
    BACKWARD: bias_backward<f32, bf16, f16>(read T, write f32; Slices);
    BACKWARD_TOTAL: bias_backward_total(read f32, write f32; Slices);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Biased {
    rows: u64,
    channels: u64,
    function: u32,
    reserved: u32,
}

impl BiasBackend for Cuda {
    fn bias(
        &self,
        rows: Rows,
        x: &Buffer,
        b: &Buffer,
        f: Option<Activation>,
        y: &mut Buffer,
    ) -> Result<()> {
        let len = rows.elements();
        let arguments = [x.read(len), b.read(rows.channels), y.write(len)];
        let geometry = Biased {
            rows: rows.count as u64,
            channels: rows.channels as u64,
            function: function(f),
            reserved: 0,
        };
        self.launch(&FORWARD, Grid::elementwise(len), arguments, geometry)
    }

    fn bias_backward(&self, rows: Rows, dy: &Buffer, sum: Sum, db: &mut Buffer) -> Result<()> {
        let slices = Slices::of(rows, sum);
        let mut partial = self.scratch(DType::F32, slices.partial())?;
        let arguments = [dy.read(rows.elements()), partial.write(slices.partial())];
        self.launch(&BACKWARD, slices.grid(), arguments, slices)?;
        let arguments = [partial.read(slices.partial()), db.write(rows.channels)];
        self.launch(&BACKWARD_TOTAL, Grid::over(rows.channels, 256), arguments, slices)
    }
}
