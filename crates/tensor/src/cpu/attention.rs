use super::dot::dot;
use super::exponential::tanh;
use super::simd::{Arithmetic, Engine, Task};
use super::{Buffer, Cpu};
use crate::ops::{Attention, AttentionBackend, AttentionGradients, AttentionInputs};
use crate::{DType, Result};

// All of it in the calling thread: a controller's step is too short to be shared. Every inner loop
// writes one slice, so that the compiler has few overlaps to rule out and vectorises it.
impl AttentionBackend for Cpu {
    fn attention_scores(
        &self,
        geometry: &Attention,
        inputs: AttentionInputs<'_, Buffer>,
        scores: &mut Buffer,
    ) -> Result<()> {
        let scores = &mut scores.slice_mut()[..geometry.batch * geometry.sources];
        let operands = Operands::of(geometry, inputs);
        Engine::new(self.isa, DType::F32).run(Scores { operands, scores });
        Ok(())
    }

    fn attention_scores_backward(
        &self,
        geometry: &Attention,
        inputs: AttentionInputs<'_, Buffer>,
        dscores: &Buffer,
        gradients: AttentionGradients<'_, Buffer>,
    ) -> Result<()> {
        let Attention { batch, sources, capacity, units } = *geometry;
        Engine::new(self.isa, DType::F32).run(ScoresBackward {
            operands: Operands::of(geometry, inputs),
            dscores: &dscores.slice()[..batch * sources],
            dkeys: &mut gradients.dkeys.slice_mut()[..batch * capacity * units],
            dquery: &mut gradients.dquery.slice_mut()[..batch * units],
            dv: &mut gradients.dv.slice_mut()[..units],
        });
        Ok(())
    }

    fn attention_context(
        &self,
        geometry: &Attention,
        weights: &Buffer,
        values: &Buffer,
        context: &mut Buffer,
    ) -> Result<()> {
        let Attention { batch, sources, units, .. } = *geometry;
        let weights = &weights.slice::<f32>()[..batch * sources];
        let values = values.slice::<f32>();
        let context = &mut context.slice_mut::<f32>()[..batch * units];
        context.fill(0.0);
        for (row, context) in context.chunks_exact_mut(units).enumerate() {
            for source in 0..sources {
                let values = &values[geometry.place(row, source)..][..units];
                add_multiple(weights[row * sources + source], values, context);
            }
        }
        Ok(())
    }

    fn attention_context_backward(
        &self,
        geometry: &Attention,
        weights: &Buffer,
        dcontext: &Buffer,
        dvalues: &mut Buffer,
    ) -> Result<()> {
        let Attention { batch, sources, units, .. } = *geometry;
        let weights = &weights.slice::<f32>()[..batch * sources];
        let dcontext = &dcontext.slice::<f32>()[..batch * units];
        let dvalues = dvalues.slice_mut::<f32>();
        for (row, dcontext) in dcontext.chunks_exact(units).enumerate() {
            for source in 0..sources {
                let dvalues = &mut dvalues[geometry.place(row, source)..][..units];
                add_multiple(weights[row * sources + source], dcontext, dvalues);
            }
        }
        Ok(())
    }
}

impl Attention {
    /// Where a source's elements begin among all keys or values.
    fn place(&self, row: usize, source: usize) -> usize {
        (row * self.capacity + source) * self.units
    }
}

/// `y += a x`.
fn add_multiple(a: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

/// What scores are made of.
struct Operands<'a> {
    geometry: Attention,
    keys: &'a [f32],
    query: &'a [f32],
    v: &'a [f32],
}

impl<'a> Operands<'a> {
    fn of(geometry: &Attention, inputs: AttentionInputs<'a, Buffer>) -> Self {
        let Attention { batch, capacity, units, .. } = *geometry;
        Operands {
            geometry: *geometry,
            keys: &inputs.keys.slice()[..batch * capacity * units],
            query: &inputs.query.slice()[..batch * units],
            v: &inputs.v.slice()[..units],
        }
    }

    /// `tanh(key + query)`.
    #[inline(always)]
    fn tangents(&self, row: usize, source: usize, tangents: &mut [f32]) {
        let units = self.geometry.units;
        let key = &self.keys[self.geometry.place(row, source)..][..units];
        let query = &self.query[row * units..][..units];
        for ((t, key), query) in tangents.iter_mut().zip(key).zip(query) {
            *t = tanh(key + query);
        }
    }
}

struct Scores<'a> {
    operands: Operands<'a>,
    scores: &'a mut [f32],
}

impl Task for Scores<'_> {
    #[inline(always)]
    fn run<M: Arithmetic>(self) {
        let Attention { batch, sources, units, .. } = self.operands.geometry;
        let mut tangents = vec![0.0; units];
        for row in 0..batch {
            for source in 0..sources {
                self.operands.tangents(row, source, &mut tangents);
                self.scores[row * sources + source] = dot(&tangents, self.operands.v);
            }
        }
    }
}

struct ScoresBackward<'a> {
    operands: Operands<'a>,
    dscores: &'a [f32],
    dkeys: &'a mut [f32],
    dquery: &'a mut [f32],
    dv: &'a mut [f32],
}

impl Task for ScoresBackward<'_> {
    #[inline(always)]
    fn run<M: Arithmetic>(self) {
        let ScoresBackward { operands, dscores, dkeys, dquery, dv } = self;
        let geometry @ Attention { batch, sources, units, .. } = operands.geometry;
        let mut tangents = vec![0.0; units];
        dquery.fill(0.0);
        for row in 0..batch {
            let dquery = &mut dquery[row * units..][..units];
            for source in 0..sources {
                let dscore = dscores[row * sources + source];
                operands.tangents(row, source, &mut tangents);
                for (dv, t) in dv.iter_mut().zip(&tangents) {
                    *dv += dscore * t;
                }
                // From here on the gradient of what the tangents are of.
                for (t, v) in tangents.iter_mut().zip(operands.v) {
                    *t = dscore * v * (1.0 - *t * *t);
                }
                let dkey = &mut dkeys[geometry.place(row, source)..][..units];
                for (dkey, g) in dkey.iter_mut().zip(&tangents) {
                    *dkey += g;
                }
                for (dquery, g) in dquery.iter_mut().zip(&tangents) {
                    *dquery += g;
                }
            }
        }
    }
}
