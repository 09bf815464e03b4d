use bytemuck::NoUninit;

use super::launch::Grid;
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{
    LstmCell, LstmCellBackend, LstmGradientInputs, LstmGradients, LstmInputs, LstmOutputs, Matmul,
    MatmulBackend, Operand, Sum,
};

kernels! { nasrl_kernels::LSTM_CELL {
    FORWARD: lstm_cell(read f32, read f32, write f32, write f32, write f32; Cell);
    BACKWARD:
        lstm_cell_backward(read f32, read f32, read f32, read f32, write f32, write f32; Cell);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Cell {
    batch: u64,
    units: u64,
}

impl LstmCellBackend for Cuda {
    fn lstm_cell(
        &self,
        geometry: &LstmCell,
        inputs: LstmInputs<'_, Buffer>,
        outputs: LstmOutputs<'_, Buffer>,
    ) -> Result<()> {
        let LstmCell { batch, units } = *geometry;
        let product =
            Matmul { m: batch, n: 4 * units, k: units, a: Operand::Plain, b: Operand::Plain };
        self.matmul(&product, inputs.h, inputs.recurrent, Sum::Store, outputs.gates)?;
        let state = batch * units;
        let arguments = [
            inputs.projection.read(4 * state),
            inputs.c.read(state),
            outputs.gates.write(4 * state),
            outputs.h.write(state),
            outputs.c.write(state),
        ];
        self.launch(&FORWARD, Grid::over(state, 256), arguments, geometry.into())
    }

    fn lstm_cell_backward(
        &self,
        geometry: &LstmCell,
        inputs: LstmGradientInputs<'_, Buffer>,
        gradients: LstmGradients<'_, Buffer>,
    ) -> Result<()> {
        let LstmCell { batch, units } = *geometry;
        let state = batch * units;
        let arguments = [
            inputs.dh.read(state),
            inputs.gates.read(4 * state),
            inputs.c_before.read(state),
            inputs.c.read(state),
            gradients.dc.write(state),
            gradients.dgates.write(4 * state),
        ];
        self.launch(&BACKWARD, Grid::over(state, 256), arguments, geometry.into())?;
        let product =
            Matmul { m: batch, n: units, k: 4 * units, a: Operand::Plain, b: Operand::Transposed };
        let (dgates, into) = (&*gradients.dgates, gradients.dh_before);
        self.matmul(&product, dgates, inputs.recurrent, Sum::Store, into)
    }
}

impl From<&LstmCell> for Cell {
    fn from(geometry: &LstmCell) -> Self {
        Cell { batch: geometry.batch as u64, units: geometry.units as u64 }
    }
}
