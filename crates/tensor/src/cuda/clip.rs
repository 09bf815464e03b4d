use bytemuck::NoUninit;

use super::launch::Grid;
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::ops::ClipBackend;
use crate::{DType, Result};

// The partial sums are f64, which tensors do not have: bytes to the host.
kernels! { nasrl_kernels::CLIP {
    SQUARES: clip_squares(read f32, write u8; Squares);
    FACTOR: clip_factor(read u8, write f32; Factor);
    SCALE: clip_scale(read f32, write f32; Scale);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Squares {
    len: u64,
    first: u64,
}

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Factor {
    blocks: u64,
    most: f32,
    reserved: u32,
}

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Scale {
    len: u64,
}

/// Elements whose squares a block adds up.
const BLOCK: usize = 16_384;

impl ClipBackend for Cuda {
    fn clip_global_norm(&self, most: f32, gradients: &mut [(usize, &mut Buffer)]) -> Result<()> {
        let blocks: usize = gradients.iter().map(|(len, _)| len.div_ceil(BLOCK)).sum();
        let bytes = blocks * size_of::<f64>();
        let mut partial = self.scratch(DType::U8, bytes)?;
        let mut first = 0;
        for (len, gradient) in &*gradients {
            let grid = Grid::over(*len, BLOCK);
            let geometry = Squares { len: *len as u64, first };
            self.launch(&SQUARES, grid, [gradient.read(*len), partial.write(bytes)], geometry)?;
            first += len.div_ceil(BLOCK) as u64;
        }
        let mut factor = self.scratch(DType::F32, 1)?;
        let geometry = Factor { blocks: blocks as u64, most, reserved: 0 };
        let arguments = [partial.read(bytes), factor.write(1)];
        self.launch(&FACTOR, Grid::blocks(1), arguments, geometry)?;
        for (len, gradient) in gradients {
            let arguments = [factor.read(1), gradient.write(*len)];
            let geometry = Scale { len: *len as u64 };
            self.launch(&SCALE, Grid::elementwise(*len), arguments, geometry)?;
        }
        Ok(())
    }
}
