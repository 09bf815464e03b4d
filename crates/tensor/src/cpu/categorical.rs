use super::{Buffer, Cpu};
use crate::Result;
use crate::ops::{CategoricalBackend, PolicyWeights, RowDraw, Rows};
use crate::random::{philox4x32, uniform};

impl CategoricalBackend for Cpu {
    fn categorical_sample(
        &self,
        rows: Rows,
        logits: &Buffer,
        draw: RowDraw,
        index: &mut Buffer,
    ) -> Result<()> {
        let logits = &logits.slice::<f32>()[..rows.elements()];
        let index = &mut index.slice_mut::<u32>()[..rows.count];
        for (row, (logits, index)) in logits.chunks_exact(rows.channels).zip(index).enumerate() {
            let counter = [draw.first.wrapping_add(row as u32), draw.step, 0, 0];
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = logits.iter().map(|logit| (logit - largest).exp()).sum();
            let mut left = uniform(philox4x32(draw.key, counter)[0]) * sum;
            let within = |logit: &f32| {
                left -= (logit - largest).exp();
                left < 0.0
            };
            *index = logits.iter().position(within).unwrap_or(rows.channels - 1) as u32;
        }
        Ok(())
    }

    fn categorical_score(
        &self,
        rows: Rows,
        logits: &Buffer,
        index: &Buffer,
        log_probability: &mut Buffer,
        entropy: &mut Buffer,
    ) -> Result<()> {
        let logits = &logits.slice::<f32>()[..rows.elements()];
        let index = &index.slice::<u32>()[..rows.count];
        let log_probability = &mut log_probability.slice_mut::<f32>()[..rows.count];
        let entropy = &mut entropy.slice_mut::<f32>()[..rows.count];
        for (row, logits) in logits.chunks_exact(rows.channels).enumerate() {
            let normaliser = log_sum_exp(logits);
            log_probability[row] = logits[index[row] as usize] - normaliser;
            entropy[row] = row_entropy(logits, normaliser);
        }
        Ok(())
    }

    fn categorical_backward(
        &self,
        rows: Rows,
        logits: &Buffer,
        index: &Buffer,
        weights: PolicyWeights<'_, Buffer>,
        dlogits: &mut Buffer,
    ) -> Result<()> {
        let logits = &logits.slice::<f32>()[..rows.elements()];
        let index = &index.slice::<u32>()[..rows.count];
        let dlogits = &mut dlogits.slice_mut::<f32>()[..rows.elements()];
        let (ws, vs) = (weights.log_probability.slice::<f32>(), weights.entropy.slice::<f32>());
        let all = logits.chunks_exact(rows.channels).zip(dlogits.chunks_exact_mut(rows.channels));
        for (row, (logits, dlogits)) in all.enumerate() {
            let (w, v) = (ws[row], vs[row]);
            let normaliser = log_sum_exp(logits);
            let entropy = if v == 0.0 { 0.0 } else { row_entropy(logits, normaliser) };
            for (d, logit) in dlogits.iter_mut().zip(logits) {
                let log_p = logit - normaliser;
                *d = -log_p.exp() * (w + v * (log_p + entropy));
            }
            dlogits[index[row] as usize] += w;
        }
        Ok(())
    }
}

fn log_sum_exp(logits: &[f32]) -> f32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    largest + logits.iter().map(|logit| (logit - largest).exp()).sum::<f32>().ln()
}

fn row_entropy(logits: &[f32], normaliser: f32) -> f32 {
    -logits.iter().map(|logit| (logit - normaliser) * (logit - normaliser).exp()).sum::<f32>()
}
