use bytemuck::NoUninit;

use super::launch::Grid;
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{Pad2d, Pad2dBackend};

kernels! { nasrl_kernels::PAD {
    FORWARD: pad2d<f32, bf16, f16>(read T, write T; Lines);
    BACKWARD: pad2d_backward<f32, bf16, f16>(read T, write T; Lines);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Lines {
    images: u64,
    rows: u64,
    row: u64,
    padded_rows: u64,
    padded_row: u64,
    top: u64,
    left: u64,
}

impl Pad2dBackend for Cuda {
    fn pad2d(&self, geometry: &Pad2d, images: usize, x: &Buffer, y: &mut Buffer) -> Result<()> {
        let (small, large) = elements(geometry, images);
        let arguments = [x.read(small), y.write(large)];
        self.launch(&FORWARD, Grid::over(large, 256), arguments, Lines::new(geometry, images))
    }

    fn pad2d_backward(
        &self,
        geometry: &Pad2d,
        images: usize,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        let (small, large) = elements(geometry, images);
        let arguments = [dy.read(large), dx.write(small)];
        self.launch(&BACKWARD, Grid::over(small, 256), arguments, Lines::new(geometry, images))
    }
}

/// How many elements there are without and with the border.
fn elements(geometry: &Pad2d, images: usize) -> (usize, usize) {
    let of = |[rows, columns]: [usize; 2]| images * rows * columns * geometry.channels;
    (of(geometry.input), of(geometry.output()))
}

impl Lines {
    fn new(geometry: &Pad2d, images: usize) -> Self {
        let &Pad2d { input: [rows, columns], channels, padding } = geometry;
        let [padded_rows, padded_columns] = geometry.output();
        Lines {
            images: images as u64,
            rows: rows as u64,
            row: (columns * channels) as u64,
            padded_rows: padded_rows as u64,
            padded_row: (padded_columns * channels) as u64,
            top: padding.top as u64,
            left: (padding.left * channels) as u64,
        }
    }
}
