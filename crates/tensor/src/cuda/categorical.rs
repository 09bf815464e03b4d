use super::draw::Draw;
use super::launch::Grid;
use super::module::kernels;
use super::rows::Rows;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{self, CategoricalBackend, PolicyWeights, RowDraw};

kernels! { nasrl_kernels::CATEGORICAL {
    SAMPLE: categorical_sample(read f32, write u32; Draw);
    SCORE: categorical_score(read f32, read u32, write f32, write f32; Rows);
    BACKWARD: categorical_backward(read f32, read u32, read f32, read f32, write f32; Rows);
} }

impl CategoricalBackend for Cuda {
    fn categorical_sample(
        &self,
        rows: ops::Rows,
        logits: &Buffer,
        draw: RowDraw,
        index: &mut Buffer,
    ) -> Result<()> {
        let arguments = [logits.read(rows.elements()), index.write(rows.count)];
        self.launch(&SAMPLE, Grid::over(rows.count, 256), arguments, Draw::new(rows, draw))
    }

    fn categorical_score(
        &self,
        rows: ops::Rows,
        logits: &Buffer,
        index: &Buffer,
        log_probability: &mut Buffer,
        entropy: &mut Buffer,
    ) -> Result<()> {
        let arguments = [
            logits.read(rows.elements()),
            index.read(rows.count),
            log_probability.write(rows.count),
            entropy.write(rows.count),
        ];
        self.launch(&SCORE, Grid::over(rows.count, 8), arguments, rows.into())
    }

    fn categorical_backward(
        &self,
        rows: ops::Rows,
        logits: &Buffer,
        index: &Buffer,
        weights: PolicyWeights<'_, Buffer>,
        dlogits: &mut Buffer,
    ) -> Result<()> {
        let arguments = [
            logits.read(rows.elements()),
            index.read(rows.count),
            weights.log_probability.read(rows.count),
            weights.entropy.read(rows.count),
            dlogits.write(rows.elements()),
        ];
        self.launch(&BACKWARD, Grid::over(rows.count, 8), arguments, rows.into())
    }
}
