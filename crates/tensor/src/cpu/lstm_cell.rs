use super::dot::dot;
use super::exponential::{sigmoid, tanh};
use super::simd::{Arithmetic, Engine, Task};
use super::{Buffer, Cpu};
use crate::ops::{
    LstmCell, LstmCellBackend, LstmGradientInputs, LstmGradients, LstmInputs, LstmOutputs, Matmul,
    MatmulBackend, Operand, Sum,
};
use crate::{DType, Result};

// But for the forward product, all of it in the calling thread: a controller's step is too short to
// be shared. Every loop writes one slice, so that the compiler has few overlaps to rule out and
// vectorises it.
impl LstmCellBackend for Cpu {
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
        Engine::new(self.isa, DType::F32).run(Forward {
            units,
            projection: &inputs.projection.slice()[..4 * batch * units],
            before: &inputs.c.slice()[..batch * units],
            gates: &mut outputs.gates.slice_mut()[..4 * batch * units],
            h: &mut outputs.h.slice_mut()[..batch * units],
            c: &mut outputs.c.slice_mut()[..batch * units],
        });
        Ok(())
    }

    fn lstm_cell_backward(
        &self,
        geometry: &LstmCell,
        inputs: LstmGradientInputs<'_, Buffer>,
        gradients: LstmGradients<'_, Buffer>,
    ) -> Result<()> {
        let LstmCell { batch, units } = *geometry;
        Engine::new(self.isa, DType::F32).run(Backward {
            units,
            dh: &inputs.dh.slice()[..batch * units],
            gates: &inputs.gates.slice()[..4 * batch * units],
            before: &inputs.c_before.slice()[..batch * units],
            c: &inputs.c.slice()[..batch * units],
            recurrent: &inputs.recurrent.slice()[..4 * units * units],
            dc: &mut gradients.dc.slice_mut()[..batch * units],
            dgates: &mut gradients.dgates.slice_mut()[..4 * batch * units],
            dh_before: &mut gradients.dh_before.slice_mut()[..batch * units],
        });
        Ok(())
    }
}

/// The gates' activation, and the states from them; the gates hold `h W_hh` before.
struct Forward<'a> {
    units: usize,
    projection: &'a [f32],
    before: &'a [f32],
    gates: &'a mut [f32],
    h: &'a mut [f32],
    c: &'a mut [f32],
}

impl Task for Forward<'_> {
    #[inline(always)]
    fn run<M: Arithmetic>(self) {
        let units = self.units;
        let states = self.before.chunks_exact(units).zip(self.c.chunks_exact_mut(units));
        let rows =
            self.gates.chunks_exact_mut(4 * units).zip(self.projection.chunks_exact(4 * units));
        for (((before, c), h), (gates, projection)) in
            states.zip(self.h.chunks_exact_mut(units)).zip(rows)
        {
            for (gate, projection) in gates.iter_mut().zip(projection) {
                *gate += projection;
            }
            gates[..2 * units].iter_mut().for_each(|x| *x = sigmoid(*x));
            gates[2 * units..3 * units].iter_mut().for_each(|x| *x = tanh(*x));
            gates[3 * units..].iter_mut().for_each(|x| *x = sigmoid(*x));
            let [i, f, g, o] = split(gates, units);
            for unit in 0..units {
                c[unit] = f[unit] * before[unit] + i[unit] * g[unit];
            }
            for unit in 0..units {
                h[unit] = o[unit] * tanh(c[unit]);
            }
        }
    }
}

/// The gradients of the gates, of the cell state and, by a product, of the hidden state.
struct Backward<'a> {
    units: usize,
    dh: &'a [f32],
    gates: &'a [f32],
    before: &'a [f32],
    c: &'a [f32],
    recurrent: &'a [f32],
    dc: &'a mut [f32],
    dgates: &'a mut [f32],
    dh_before: &'a mut [f32],
}

impl Task for Backward<'_> {
    #[inline(always)]
    fn run<M: Arithmetic>(self) {
        let units = self.units;
        for row in 0..self.dh.len() / units {
            let (state, wide) =
                (row * units..(row + 1) * units, 4 * row * units..4 * (row + 1) * units);
            let [dh, before, c] = [self.dh, self.before, self.c].map(|all| &all[state.clone()]);
            let dc = &mut self.dc[state.clone()];
            let [i, f, g, o] = split(&self.gates[wide.clone()], units);
            let dgates = &mut self.dgates[wide];
            let (di, rest) = dgates.split_at_mut(units);
            let (df, rest) = rest.split_at_mut(units);
            let (dg, d_o) = rest.split_at_mut(units);
            // tanh(c) at first.
            for unit in 0..units {
                d_o[unit] = tanh(c[unit]);
            }
            for unit in 0..units {
                dc[unit] += dh[unit] * o[unit] * (1.0 - d_o[unit] * d_o[unit]);
            }
            for unit in 0..units {
                d_o[unit] *= dh[unit] * o[unit] * (1.0 - o[unit]);
            }
            for unit in 0..units {
                di[unit] = dc[unit] * g[unit] * i[unit] * (1.0 - i[unit]);
            }
            for unit in 0..units {
                df[unit] = dc[unit] * before[unit] * f[unit] * (1.0 - f[unit]);
            }
            for unit in 0..units {
                dg[unit] = dc[unit] * i[unit] * (1.0 - g[unit] * g[unit]);
            }
            for unit in 0..units {
                dc[unit] *= f[unit];
            }
            let weights = self.recurrent.chunks_exact(4 * units);
            for (dh, weights) in self.dh_before[state].iter_mut().zip(weights) {
                *dh = dot(dgates, weights);
            }
        }
    }
}

/// The four gates of a row.
#[inline(always)]
fn split(row: &[f32], units: usize) -> [&[f32]; 4] {
    [0, 1, 2, 3].map(|gate| &row[gate * units..][..units])
}
