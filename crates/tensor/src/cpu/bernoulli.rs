use super::{Buffer, Cpu};
use crate::Result;
use crate::ops::{BernoulliBackend, PolicyWeights, RowDraw, Rows};
use crate::random::{philox4x32, uniform};

// All of it in the calling thread: a policy's rows are a few dozen of a few bits.
impl BernoulliBackend for Cpu {
    fn bernoulli_sample(
        &self,
        rows: Rows,
        logits: &Buffer,
        draw: RowDraw,
        bits: &mut Buffer,
    ) -> Result<()> {
        let logits = logits.slice::<f32>();
        let bits = bits.slice_mut::<u32>();
        for row in 0..rows.count {
            let own = row * rows.channels..(row + 1) * rows.channels;
            let blocks = logits[own.clone()].chunks(4).zip(bits[own].chunks_mut(4));
            for (block, (logits, bits)) in blocks.enumerate() {
                let first = draw.first.wrapping_add(row as u32);
                let words = philox4x32(draw.key, [first, draw.step, block as u32, 1]);
                for ((bit, logit), word) in bits.iter_mut().zip(logits).zip(words) {
                    *bit = u32::from(uniform(word) < 1.0 / (1.0 + (-logit).exp()));
                }
            }
        }
        Ok(())
    }

    fn bernoulli_score(
        &self,
        rows: Rows,
        logits: &Buffer,
        bits: &Buffer,
        log_probability: &mut Buffer,
        entropy: &mut Buffer,
    ) -> Result<()> {
        let (logits, bits) = (logits.slice::<f32>(), bits.slice::<u32>());
        let log_probability = &mut log_probability.slice_mut::<f32>()[..rows.count];
        let entropy = &mut entropy.slice_mut::<f32>()[..rows.count];
        for (row, (log_probability, entropy)) in log_probability.iter_mut().zip(entropy).enumerate()
        {
            let own = row * rows.channels..(row + 1) * rows.channels;
            (*log_probability, *entropy) = (0.0, 0.0);
            for (&logit, &bit) in logits[own.clone()].iter().zip(&bits[own]) {
                let against = if bit == 1 { -logit } else { logit };
                let tail = (-logit.abs()).exp();
                let log_of_likely = tail.ln_1p();
                *log_probability -= against.max(0.0) + log_of_likely;
                *entropy += log_of_likely + product(logit.abs(), tail / (1.0 + tail));
            }
        }
        Ok(())
    }

    fn bernoulli_backward(
        &self,
        rows: Rows,
        logits: &Buffer,
        bits: &Buffer,
        weights: PolicyWeights<'_, Buffer>,
        dlogits: &mut Buffer,
    ) -> Result<()> {
        let (logits, bits) = (logits.slice::<f32>(), bits.slice::<u32>());
        let (ws, vs) = (weights.log_probability.slice::<f32>(), weights.entropy.slice::<f32>());
        let dlogits = dlogits.slice_mut::<f32>();
        for (row, (w, v)) in ws.iter().zip(vs).enumerate().take(rows.count) {
            let own = row * rows.channels..(row + 1) * rows.channels;
            let all = dlogits[own.clone()].iter_mut().zip(&logits[own.clone()]).zip(&bits[own]);
            for ((d, &logit), &bit) in all {
                let tail = (-logit.abs()).exp();
                let [likely, unlikely] = [1.0 / (1.0 + tail), tail / (1.0 + tail)];
                let miss = if (bit == 1) == (logit > 0.0) { unlikely } else { likely };
                let direction = if bit == 1 { miss } else { -miss };
                *d = w * direction - v * product(logit, likely * unlikely);
            }
        }
        Ok(())
    }
}

/// `logit * probability`, whose limit where the probability vanishes is 0.
fn product(logit: f32, probability: f32) -> f32 {
    if probability == 0.0 { 0.0 } else { logit * probability }
}
