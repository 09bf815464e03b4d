use super::simd::{Arithmetic, Engine, Task};
use super::{Buffer, Cpu};
use crate::ops::{OptimizedTensor, OptimizerBackend, OptimizerStep, StepSizes, UpdateRule};
use crate::{DType, Result};

/// Parameters that are worked on at a time, so that their summed gradient stays in the cache.
const BLOCK: usize = 1024;

impl OptimizerBackend for Cpu {
    fn optimizer_steps(
        &self,
        step: &OptimizerStep<'_, Self>,
        tensors: &mut [OptimizedTensor<'_, Buffer>],
    ) -> Result<()> {
        let engine = Engine::new(self.isa, DType::F32);
        let OptimizerStep { rule, weight_decay, .. } = *step;
        let [rate, scale] = match step.sizes {
            StepSizes::Given(sizes) => sizes,
            StepSizes::Table { table, clock } => {
                let row = clock.slice::<u32>()[1] as usize;
                [table.slice::<f32>()[2 * row], table.slice::<f32>()[2 * row + 1]]
            }
        };
        for tensor in tensors {
            let OptimizedTensor { len, parameters, gradients, state } = tensor;
            let pieces = gradients.iter().flat_map(|part| {
                part.buffer.slice::<f32>().chunks_exact((*len).max(1)).take(part.count)
            });
            let gradients: Vec<&[f32]> = pieces.collect();
            let mut blocks: Vec<Block<'_>> = parameters.slice_mut::<f32>()[..*len]
                .chunks_mut(BLOCK)
                .map(|parameters| Block { parameters, state: [&mut [], &mut []] })
                .collect();
            for (index, buffer) in state.iter_mut().enumerate() {
                let pieces = buffer.slice_mut::<f32>()[..*len].chunks_mut(BLOCK);
                for (block, piece) in blocks.iter_mut().zip(pieces) {
                    block.state[index] = piece;
                }
            }
            self.weighted_chunks(&mut blocks, 1, BLOCK, |first, blocks| {
                let (first, gradients) = (first * BLOCK, &gradients[..]);
                let weight_decay = weight_decay as f32;
                engine.run(Update { rule, rate, scale, weight_decay, first, gradients, blocks });
            });
        }
        Ok(())
    }
}

/// A run of parameters, and of each of their state buffers.
struct Block<'a> {
    parameters: &'a mut [f32],
    state: [&'a mut [f32]; 2],
}

struct Update<'a, 'b> {
    rule: UpdateRule,
    rate: f32,
    scale: f32,
    weight_decay: f32,
    /// The index of the first parameter of the first block.
    first: usize,
    gradients: &'a [&'a [f32]],
    blocks: &'a mut [Block<'b>],
}

impl Task for Update<'_, '_> {
    #[inline(always)]
    fn run<M: Arithmetic>(self) {
        let Update { rule, rate, scale, .. } = self;
        match rule {
            UpdateRule::Sgd { momentum, nesterov } => {
                let momentum = momentum as f32;
                self.each_block(|p, g, [m, _]| {
                    for ((p, g), m) in p.iter_mut().zip(g).zip(m) {
                        *m = momentum * *m + g;
                        *p -= rate * if nesterov { g + momentum * *m } else { *m };
                    }
                });
            }
            UpdateRule::Adam { beta1, beta2, epsilon } => {
                let [new1, new2] = [beta1, beta2].map(|beta| (1.0 - beta) as f32);
                let [beta1, beta2, epsilon] = [beta1, beta2, epsilon].map(|value| value as f32);
                self.each_block(|p, g, [m, v]| {
                    for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                        *m = beta1 * *m + new1 * g;
                        *v = beta2 * *v + new2 * (g * g);
                        *p -= rate * *m / (scale * v.sqrt() + epsilon);
                    }
                });
            }
            UpdateRule::RmsProp { decay, momentum, epsilon } => {
                let new = (1.0 - decay) as f32;
                let [decay, momentum, epsilon] = [decay, momentum, epsilon].map(|v| v as f32);
                self.each_block(|p, g, [m, v]| {
                    for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                        *v = decay * *v + new * (g * g);
                        *m = momentum * *m + rate * g / (*v + epsilon).sqrt();
                        *p -= *m;
                    }
                });
            }
        }
    }
}

impl Update<'_, '_> {
    /// Runs `update(parameters, gradient, state)` for every block.
    #[inline(always)]
    fn each_block(self, update: impl Fn(&mut [f32], &[f32], [&mut [f32]; 2])) {
        let weight_decay = self.weight_decay;
        let mut sums = [0.0; BLOCK];
        for (index, block) in self.blocks.iter_mut().enumerate() {
            let gradient = &mut sums[..block.parameters.len()];
            total(self.gradients, self.first + index * BLOCK, gradient);
            for (g, p) in gradient.iter_mut().zip(&*block.parameters) {
                *g += weight_decay * p;
            }
            update(block.parameters, gradient, block.state.each_mut().map(|state| &mut **state));
        }
    }
}

/// The sum of the gradients from parameter `first` on, in their order.
#[inline(always)]
fn total(gradients: &[&[f32]], first: usize, sums: &mut [f32]) {
    let Some((start, rest)) = gradients.split_first() else {
        return sums.fill(0.0);
    };
    sums.copy_from_slice(&start[first..][..sums.len()]);
    for gradient in rest {
        for (sum, g) in sums.iter_mut().zip(&gradient[first..]) {
            *sum += g;
        }
    }
}
