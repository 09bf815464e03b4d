use super::{Buffer, Cpu};
use crate::Result;
use crate::ops::{CategoricalBackend, PolicyWeights, RowDraw, Rows};
use crate::random::{philox4x32, uniform};

// All of it in the calling thread: a policy's rows are a few dozen of a few values.
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
            let drawn = position(logits, uniform(philox4x32(draw.key, counter)[0]));
            *index = drawn.unwrap_or(rows.channels - 1) as u32;
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
                let (p, surprise) = terms(logit - normaliser);
                *d = v * (surprise - p * entropy) - w * p;
            }
            dlogits[index[row] as usize] += w;
        }
        Ok(())
    }
}

/// The first value whose cumulative probability is above `uniform`; `None` for NaN only.
///
/// There is one otherwise: the last cumulative sum is the total to the bit, both being added up in
/// one order, and the total times a number of 24 bits below 1 rounds to less than the total.
fn position(logits: &[f32], uniform: f32) -> Option<usize> {
    let largest = largest(logits);
    let weight = |logit: &f32| (logit - largest).exp();
    let below = uniform * logits.iter().map(weight).fold(0.0, |sum, weight| sum + weight);
    let mut sum = 0.0;
    logits.iter().position(|logit| {
        sum += weight(logit);
        sum > below
    })
}

fn log_sum_exp(logits: &[f32]) -> f32 {
    let largest = largest(logits);
    largest + logits.iter().map(|logit| (logit - largest).exp()).sum::<f32>().ln()
}

fn row_entropy(logits: &[f32], normaliser: f32) -> f32 {
    logits.iter().map(|logit| terms(logit - normaliser).1).sum()
}

/// `p` and `-p log p`, whose limit at 0 is 0.
fn terms(log_p: f32) -> (f32, f32) {
    let p = log_p.exp();
    (p, if p == 0.0 { 0.0 } else { -p * log_p })
}

fn largest(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}
