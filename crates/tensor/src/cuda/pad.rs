use bytemuck::NoUninit;

use super::launch::Grid;
use super::module::{Kernel, kernels};
use super::pieces::Pieces;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{Pad2d, Pad2dBackend};

kernels! { nasrl_kernels::PAD {
    FORWARD_ONE: pad2d<f32, bf16, f16>(read T, write T; Lines);
    FORWARD_EIGHT: pad2d_eight<f32, bf16, f16>(read T, write T; Lines);
    BACKWARD_ONE: pad2d_backward<f32, bf16, f16>(read T, write T; Lines);
    BACKWARD_EIGHT: pad2d_backward_eight<f32, bf16, f16>(read T, write T; Lines);
} }

const FORWARD: Pieces<2, Lines> = Pieces { one: &FORWARD_ONE, eight: &FORWARD_EIGHT };
const BACKWARD: Pieces<2, Lines> = Pieces { one: &BACKWARD_ONE, eight: &BACKWARD_EIGHT };

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
        let Plan { kernel, piece, lines, bare, padded } = Plan::new(&FORWARD, geometry, images);
        self.launch(kernel, Grid::pieces(padded / piece), [x.read(bare), y.write(padded)], lines)
    }

    fn pad2d_backward(
        &self,
        geometry: &Pad2d,
        images: usize,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        let Plan { kernel, piece, lines, bare, padded } = Plan::new(&BACKWARD, geometry, images);
        self.launch(kernel, Grid::pieces(bare / piece), [dy.read(padded), dx.write(bare)], lines)
    }
}

struct Plan {
    kernel: &'static Kernel<2, Lines>,
    /// Elements of a piece.
    piece: usize,
    lines: Lines,
    /// Elements of all images without their zeros.
    bare: usize,
    /// Elements of all images with their zeros.
    padded: usize,
}

impl Plan {
    fn new(kernels: &Pieces<2, Lines>, geometry: &Pad2d, images: usize) -> Self {
        let &Pad2d { input: [rows, columns], channels, padding } = geometry;
        let [padded_rows, padded_columns] = geometry.output();
        let places = [columns, padded_columns, padding.left].map(|pixels| pixels * channels);
        let (kernel, piece) = kernels.choose(&places);
        let [row, padded_row, left] = places.map(|place| (place / piece) as u64);
        let lines = Lines {
            images: images as u64,
            rows: rows as u64,
            row,
            padded_rows: padded_rows as u64,
            padded_row,
            top: padding.top as u64,
            left,
        };
        let (bare, padded) = (images * rows * places[0], images * padded_rows * places[1]);
        Plan { kernel, piece, lines, bare, padded }
    }
}
