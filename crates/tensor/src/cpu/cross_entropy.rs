use super::softmax::Peak;
use super::{Buffer, Cpu};
use crate::Result;
use crate::ops::{CrossEntropy, CrossEntropyBackend, CrossEntropyInputs, Sum};

/// Logits of a block of rows whose sums are made in one go: a thread's share.
const BLOCK: usize = 4096;

impl CrossEntropyBackend for Cpu {
    fn cross_entropy(
        &self,
        geometry: &CrossEntropy,
        CrossEntropyInputs { logits, labels, clock }: CrossEntropyInputs<'_, Buffer>,
        sums: &mut Buffer,
    ) -> Result<()> {
        let classes = geometry.rows.channels;
        let logits = &logits.slice::<f32>()[..geometry.rows.elements()];
        let labels = &labels.slice::<u32>()[..geometry.rows.count];
        let sums = start(geometry.sum, clock, sums);
        self.sum_blocks(labels.len(), rows_of_block(classes), sums, |rows, sums| {
            let logits = logits.chunks_exact(classes).skip(rows.start);
            for (x, &label) in logits.zip(&labels[rows]) {
                judge(x, label, &Peak::of(x), geometry.divisor, sums);
            }
        });
        Ok(())
    }

    fn cross_entropy_with_gradient(
        &self,
        geometry: &CrossEntropy,
        CrossEntropyInputs { logits, labels, clock }: CrossEntropyInputs<'_, Buffer>,
        sums: &mut Buffer,
        dlogits: &mut Buffer,
    ) -> Result<()> {
        let classes = geometry.rows.channels;
        let block = rows_of_block(classes);
        let logits = &logits.slice::<f32>()[..geometry.rows.elements()];
        let labels = &labels.slice::<u32>()[..geometry.rows.count];
        let dlogits = &mut dlogits.slice_mut::<f32>()[..geometry.rows.elements()];
        let judge_block = |index: usize, dlogits: &mut [f32]| {
            let mut sums = [0.0; 2];
            let rows = logits.chunks_exact(classes).zip(labels).skip(index * block);
            for (dx, (x, &label)) in dlogits.chunks_exact_mut(classes).zip(rows) {
                let peak = Peak::of(x);
                judge(x, label, &peak, geometry.divisor, &mut sums);
                for (dx, x) in dx.iter_mut().zip(x) {
                    *dx = (x - peak.max).exp() / peak.sum / geometry.divisor;
                }
                dx[label as usize] -= 1.0 / geometry.divisor;
            }
            sums
        };
        let totals = start(geometry.sum, clock, sums);
        self.map_chunks(dlogits, block * classes, judge_block, |sums| {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total += sum;
            }
        });
        Ok(())
    }
}

/// The two sums that are meant, as they are before the first is added.
fn start<'a>(sum: Sum, clock: Option<&Buffer>, sums: &'a mut Buffer) -> &'a mut [f32] {
    let row = clock.map_or(0, |clock| clock.slice::<u32>()[1] as usize);
    let sums = &mut sums.slice_mut::<f32>()[2 * row..][..2];
    if sum == Sum::Store {
        sums.fill(0.0);
    }
    sums
}

fn rows_of_block(classes: usize) -> usize {
    (BLOCK / classes).max(1)
}

/// Adds a row's loss and whether its prediction is correct.
fn judge(x: &[f32], label: u32, peak: &Peak, divisor: f32, sums: &mut [f32]) {
    let label = label as usize;
    sums[0] += (peak.sum.ln() - (x[label] - peak.max)) / divisor;
    let predicted = x.iter().position(|&x| x == peak.max);
    sums[1] += f32::from(u8::from(predicted == Some(label)));
}
