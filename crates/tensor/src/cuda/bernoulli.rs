use super::draw::Draw;
use super::launch::Grid;
use super::module::kernels;
use super::rows::Rows;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{self, BernoulliBackend, PolicyWeights, RowDraw};

kernels! { nasrl_kernels::BERNOULLI {
    SAMPLE: bernoulli_sample(read f32, write u32; Draw);
    SCORE: bernoulli_score(read f32, read u32, write f32, write f32; Rows);
    BACKWARD: bernoulli_backward(read f32, read u32, read f32, read f32, write f32; Rows);
} }

impl BernoulliBackend for Cuda {
    fn bernoulli_sample(
        &self,
        rows: ops::Rows,
        logits: &Buffer,
        draw: RowDraw,
        bits: &mut Buffer,
    ) -> Result<()> {
        let arguments = [logits.read(rows.elements()), bits.write(rows.elements())];
        let grid = Grid::over(rows.count * rows.channels.div_ceil(4), 256);
        self.launch(&SAMPLE, grid, arguments, Draw::new(rows, draw))
    }

    fn bernoulli_score(
        &self,
        rows: ops::Rows,
        logits: &Buffer,
        bits: &Buffer,
        log_probability: &mut Buffer,
        entropy: &mut Buffer,
    ) -> Result<()> {
        let arguments = [
            logits.read(rows.elements()),
            bits.read(rows.elements()),
            log_probability.write(rows.count),
            entropy.write(rows.count),
        ];
        self.launch(&SCORE, Grid::over(rows.count, 8), arguments, rows.into())
    }

    fn bernoulli_backward(
        &self,
        rows: ops::Rows,
        logits: &Buffer,
        bits: &Buffer,
        weights: PolicyWeights<'_, Buffer>,
        dlogits: &mut Buffer,
    ) -> Result<()> {
        let len = rows.elements();
        let arguments = [
            logits.read(len),
            bits.read(len),
            weights.log_probability.read(rows.count),
            weights.entropy.read(rows.count),
            dlogits.write(len),
        ];
        self.launch(&BACKWARD, Grid::over(len, 256), arguments, rows.into())
    }
}
