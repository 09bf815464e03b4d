use super::module::kernels;
use super::rows::{Rows, Teams};
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{self, SoftmaxBackend};

kernels! { nasrl_kernels::SOFTMAX {
    SOFTMAX_WARP: softmax_warp<f32, bf16, f16>(read T, write T; Rows);
    SOFTMAX_BLOCK: softmax_block<f32, bf16, f16>(read T, write T; Rows);
    SOFTMAX_BACKWARD_WARP: softmax_backward_warp<f32, bf16, f16>(read T, read T, write T; Rows);
    SOFTMAX_BACKWARD_BLOCK: softmax_backward_block<f32, bf16, f16>(read T, read T, write T; Rows);
    LOG_SOFTMAX_WARP: log_softmax_warp<f32, bf16, f16>(read T, write T; Rows);
    LOG_SOFTMAX_BLOCK: log_softmax_block<f32, bf16, f16>(read T, write T; Rows);
    LOG_SOFTMAX_BACKWARD_WARP:
        log_softmax_backward_warp<f32, bf16, f16>(read T, read T, write T; Rows);
    LOG_SOFTMAX_BACKWARD_BLOCK:
        log_softmax_backward_block<f32, bf16, f16>(read T, read T, write T; Rows);
} }

const SOFTMAX: Teams<2, Rows> = Teams { warp: &SOFTMAX_WARP, block: &SOFTMAX_BLOCK };
const SOFTMAX_BACKWARD: Teams<3, Rows> =
    Teams { warp: &SOFTMAX_BACKWARD_WARP, block: &SOFTMAX_BACKWARD_BLOCK };
const LOG_SOFTMAX: Teams<2, Rows> = Teams { warp: &LOG_SOFTMAX_WARP, block: &LOG_SOFTMAX_BLOCK };
const LOG_SOFTMAX_BACKWARD: Teams<3, Rows> =
    Teams { warp: &LOG_SOFTMAX_BACKWARD_WARP, block: &LOG_SOFTMAX_BACKWARD_BLOCK };

impl SoftmaxBackend for Cuda {
    fn softmax(&self, rows: ops::Rows, x: &Buffer, y: &mut Buffer) -> Result<()> {
        self.forward(SOFTMAX, rows, x, y)
    }

    fn softmax_backward(
        &self,
        rows: ops::Rows,
        y: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        self.backward(SOFTMAX_BACKWARD, rows, [y, dy], dx)
    }

    fn log_softmax(&self, rows: ops::Rows, x: &Buffer, y: &mut Buffer) -> Result<()> {
        self.forward(LOG_SOFTMAX, rows, x, y)
    }

    fn log_softmax_backward(
        &self,
        rows: ops::Rows,
        y: &Buffer,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        self.backward(LOG_SOFTMAX_BACKWARD, rows, [y, dy], dx)
    }
}

impl Cuda {
    fn forward(
        &self,
        teams: Teams<2, Rows>,
        rows: ops::Rows,
        x: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        let (kernel, grid) = teams.choose(rows);
        let len = rows.elements();
        self.launch(kernel, grid, [x.read(len), y.write(len)], rows.into())
    }

    fn backward(
        &self,
        teams: Teams<3, Rows>,
        rows: ops::Rows,
        [y, dy]: [&Buffer; 2],
        dx: &mut Buffer,
    ) -> Result<()> {
        let (kernel, grid) = teams.choose(rows);
        let len = rows.elements();
        self.launch(kernel, grid, [y.read(len), dy.read(len), dx.write(len)], rows.into())
    }
}
