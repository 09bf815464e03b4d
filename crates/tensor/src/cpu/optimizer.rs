use super::simd::{Arithmetic, Engine, Task};
use super::{Buffer, Cpu};
use crate::ops::{OptimizerBackend, OptimizerStep, UpdateRule};
use crate::{DType, Result};

/// Parameters that are worked on at a time, so that their summed gradient stays in the cache.
const BLOCK: usize = 1024;

impl OptimizerBackend for Cpu {
    fn optimizer_step(
        &self,
        len: usize,
        step: &OptimizerStep,
        parameters: &mut Buffer,
        gradients: &[&Buffer],
        state: &mut [Buffer],
    ) -> Result<()> {
        let gradients: Vec<&[f32]> = gradients.iter().map(|g| &g.slice::<f32>()[..len]).collect();
        let mut blocks: Vec<Block<'_>> = parameters.slice_mut::<f32>()[..len]
            .chunks_mut(BLOCK)
            .map(|parameters| Block { parameters, state: [&mut [], &mut []] })
            .collect();
        for (index, buffer) in state.iter_mut().enumerate() {
            let pieces = buffer.slice_mut::<f32>()[..len].chunks_mut(BLOCK);
            for (block, piece) in blocks.iter_mut().zip(pieces) {
                block.state[index] = piece;
            }
        }
        let engine = Engine::new(self.isa, DType::F32);
        self.weighted_chunks(&mut blocks, 1, BLOCK, |first, blocks| {
            engine.run(Update { step, first: first * BLOCK, gradients: &gradients, blocks });
        });
        Ok(())
    }
}

/// A run of parameters, and of each of their state buffers.
struct Block<'a> {
    parameters: &'a mut [f32],
    state: [&'a mut [f32]; 2],
}

struct Update<'a, 'b> {
    step: &'a OptimizerStep,
    /// The index of the first parameter of the first block.
    first: usize,
    gradients: &'a [&'a [f32]],
    blocks: &'a mut [Block<'b>],
}

impl Task for Update<'_, '_> {
    #[inline(always)]
    fn run<M: Arithmetic>(self) {
        let OptimizerStep { rule, rate, number, .. } = *self.step;
        match rule {
            UpdateRule::Sgd { momentum, nesterov } => {
                let [momentum, rate] = [momentum, rate].map(|value| value as f32);
                self.each_block(|p, g, [m, _]| {
                    for ((p, g), m) in p.iter_mut().zip(g).zip(m) {
                        *m = momentum * *m + g;
                        *p -= rate * if nesterov { g + momentum * *m } else { *m };
                    }
                });
            }
            UpdateRule::Adam { beta1, beta2, epsilon } => {
                let corrections = [beta1, beta2].map(|beta| 1.0 - beta.powf(number as f64));
                let rate = (rate / corrections[0]) as f32;
                let scale = corrections[1].sqrt().recip() as f32;
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
                let [decay, momentum, rate] = [decay, momentum, rate].map(|value| value as f32);
                let epsilon = epsilon as f32;
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
        let weight_decay = self.step.weight_decay as f32;
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
