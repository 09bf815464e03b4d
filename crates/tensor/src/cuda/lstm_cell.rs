use bytemuck::NoUninit;

use super::launch::Grid;
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{
    LstmCell, LstmCellBackend, LstmGradientInputs, LstmGradients, LstmInputs, LstmOutputs,
};

kernels! { nasrl_kernels::LSTM_CELL {
    FORWARD: lstm_cell(
        read f32, read f32, read f32, read f32, write f32, write f32, write f32; Cell);
    BACKWARD: lstm_cell_backward(
        read f32, read f32, read f32, read f32, write f32, write f32; Cell);
    BACKWARD_H: lstm_cell_backward_h(read f32, read f32, write f32; Cell);
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
        let Lengths { state, gates, recurrent } = Lengths::of(geometry);
        let arguments = [
            inputs.projection.read(gates),
            inputs.h.read(state),
            inputs.c.read(state),
            inputs.recurrent.read(recurrent),
            outputs.gates.write(gates),
            outputs.h.write(state),
            outputs.c.write(state),
        ];
        self.launch(&FORWARD, tiles(geometry, 16), arguments, geometry.into())
    }

    fn lstm_cell_backward(
        &self,
        geometry: &LstmCell,
        inputs: LstmGradientInputs<'_, Buffer>,
        gradients: LstmGradients<'_, Buffer>,
    ) -> Result<()> {
        let Lengths { state, gates, recurrent } = Lengths::of(geometry);
        let arguments = [
            inputs.dh.read(state),
            inputs.gates.read(gates),
            inputs.c_before.read(state),
            inputs.c.read(state),
            gradients.dc.write(state),
            gradients.dgates.write(gates),
        ];
        self.launch(&BACKWARD, Grid::over(state, 256), arguments, geometry.into())?;
        let arguments = [
            gradients.dgates.read(gates),
            inputs.recurrent.read(recurrent),
            gradients.dh_before.write(state),
        ];
        self.launch(&BACKWARD_H, tiles(geometry, 8), arguments, geometry.into())
    }
}

/// A block for 8 units of this many rows.
fn tiles(geometry: &LstmCell, rows: usize) -> Grid {
    let blocks = [geometry.units.div_ceil(8), geometry.batch.div_ceil(rows), 1];
    Grid { blocks, ..Grid::blocks(0) }
}

/// How many elements the operands have.
struct Lengths {
    state: usize,
    gates: usize,
    recurrent: usize,
}

impl Lengths {
    fn of(&LstmCell { batch, units }: &LstmCell) -> Self {
        Lengths { state: batch * units, gates: 4 * batch * units, recurrent: 4 * units * units }
    }
}

impl From<&LstmCell> for Cell {
    fn from(geometry: &LstmCell) -> Self {
        Cell { batch: geometry.batch as u64, units: geometry.units as u64 }
    }
}
