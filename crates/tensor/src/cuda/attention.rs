use bytemuck::NoUninit;

use super::columns::Slices;
use super::launch::Grid;
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::ops::{self, AttentionBackend, AttentionGradients, AttentionInputs};
use crate::{DType, Result};

kernels! { nasrl_kernels::ATTENTION {
    SCORES: attention_scores(read f32, read f32, read f32, write f32; Attention);
    SCORES_BACKWARD: attention_scores_backward(
        read f32, read f32, read f32, read f32, write f32, write f32, write f32; Attention);
    SCORES_BACKWARD_DV: attention_scores_backward_dv(read f32, write f32; Slices);
    CONTEXT: attention_context(read f32, read f32, write f32; Attention);
    CONTEXT_BACKWARD: attention_context_backward(read f32, read f32, write f32; Attention);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Attention {
    batch: u64,
    sources: u64,
    capacity: u64,
    units: u64,
}

impl AttentionBackend for Cuda {
    fn attention_scores(
        &self,
        geometry: &ops::Attention,
        inputs: AttentionInputs<'_, Buffer>,
        scores: &mut Buffer,
    ) -> Result<()> {
        let Counts { all, rows, pairs } = Counts::of(geometry);
        let arguments = [
            inputs.keys.read(all),
            inputs.query.read(rows),
            inputs.v.read(geometry.units),
            scores.write(pairs),
        ];
        self.launch(&SCORES, Grid::over(pairs, 8), arguments, geometry.into())
    }

    fn attention_scores_backward(
        &self,
        geometry: &ops::Attention,
        inputs: AttentionInputs<'_, Buffer>,
        dscores: &Buffer,
        gradients: AttentionGradients<'_, Buffer>,
    ) -> Result<()> {
        let Counts { all, rows, pairs } = Counts::of(geometry);
        let ops::Attention { batch, units, .. } = *geometry;
        let mut partial = self.scratch(DType::F32, rows)?;
        let arguments = [
            inputs.keys.read(all),
            inputs.query.read(rows),
            inputs.v.read(units),
            dscores.read(pairs),
            gradients.dkeys.write(all),
            gradients.dquery.write(rows),
            partial.write(rows),
        ];
        self.launch(&SCORES_BACKWARD, Grid::over(rows, 256), arguments, geometry.into())?;
        let slices = Slices::added(batch, units);
        let arguments = [partial.read(rows), gradients.dv.write(units)];
        self.launch(&SCORES_BACKWARD_DV, Grid::over(units, 256), arguments, slices)
    }

    fn attention_context(
        &self,
        geometry: &ops::Attention,
        weights: &Buffer,
        values: &Buffer,
        context: &mut Buffer,
    ) -> Result<()> {
        let Counts { all, rows, pairs } = Counts::of(geometry);
        let arguments = [weights.read(pairs), values.read(all), context.write(rows)];
        self.launch(&CONTEXT, Grid::over(rows, 256), arguments, geometry.into())
    }

    fn attention_context_backward(
        &self,
        geometry: &ops::Attention,
        weights: &Buffer,
        dcontext: &Buffer,
        dvalues: &mut Buffer,
    ) -> Result<()> {
        let Counts { all, rows, pairs } = Counts::of(geometry);
        let arguments = [weights.read(pairs), dcontext.read(rows), dvalues.write(all)];
        let grid = Grid::over(pairs * geometry.units, 256);
        self.launch(&CONTEXT_BACKWARD, grid, arguments, geometry.into())
    }
}

/// How many elements the operands have.
struct Counts {
    /// Keys and values.
    all: usize,
    /// What there is once a row.
    rows: usize,
    /// Scores and weights.
    pairs: usize,
}

impl Counts {
    fn of(geometry: &ops::Attention) -> Self {
        let ops::Attention { batch, sources, capacity, units } = *geometry;
        Counts { all: batch * capacity * units, rows: batch * units, pairs: batch * sources }
    }
}

impl From<&ops::Attention> for Attention {
    fn from(geometry: &ops::Attention) -> Self {
        let ops::Attention { batch, sources, capacity, units } = *geometry;
        let [batch, sources, capacity, units] =
            [batch, sources, capacity, units].map(|extent| extent as u64);
        Attention { batch, sources, capacity, units }
    }
}
