use super::simd::{Arithmetic, Engine, Task};
use super::{Buffer, Cpu};
use crate::ops::{
    LstmCell, LstmCellBackend, LstmGradientInputs, LstmGradients, LstmInputs, LstmOutputs, Matmul,
    MatmulBackend, Operand, Sum,
};
use crate::{DType, Result};

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
            let (i, rest) = gates.split_at_mut(units);
            let (f, rest) = rest.split_at_mut(units);
            let (g, o) = rest.split_at_mut(units);
            for unit in 0..units {
                i[unit] = sigmoid(i[unit]);
                f[unit] = sigmoid(f[unit]);
                g[unit] = tanh(g[unit]);
                o[unit] = sigmoid(o[unit]);
                c[unit] = f[unit] * before[unit] + i[unit] * g[unit];
                h[unit] = o[unit] * tanh(c[unit]);
            }
        }
    }
}

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
            let at = row * units..(row + 1) * units;
            let (dh, before, c) =
                (&self.dh[at.clone()], &self.before[at.clone()], &self.c[at.clone()]);
            let dc = &mut self.dc[at.clone()];
            let wide = 4 * at.start..4 * at.end;
            let gates = &self.gates[wide.clone()];
            let (i, f) = (&gates[..units], &gates[units..2 * units]);
            let (g, o) = (&gates[2 * units..3 * units], &gates[3 * units..]);
            let dgates = &mut self.dgates[wide];
            {
                let (di, rest) = dgates.split_at_mut(units);
                let (df, rest) = rest.split_at_mut(units);
                let (dg, do_) = rest.split_at_mut(units);
                for unit in 0..units {
                    let (i, f, g, o) = (i[unit], f[unit], g[unit], o[unit]);
                    let t = tanh(c[unit]);
                    let d = dc[unit] + dh[unit] * o * (1.0 - t * t);
                    do_[unit] = dh[unit] * t * o * (1.0 - o);
                    di[unit] = d * g * i * (1.0 - i);
                    dg[unit] = d * i * (1.0 - g * g);
                    df[unit] = d * before[unit] * f * (1.0 - f);
                    dc[unit] = d * f;
                }
            }
            let rows = self.recurrent.chunks_exact(4 * units);
            for (dh, weights) in self.dh_before[at].iter_mut().zip(rows) {
                *dh = dot(dgates, weights);
            }
        }
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0] + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.0
        + r * (1.0
            + r * (0.5
                + r * (0.166_666_65
                    + r * (0.041_665_795 + r * (8.333_452e-3 + r * 1.398_199_9e-3)))));
    f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000)) * p
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp(2.0 * x))
}
