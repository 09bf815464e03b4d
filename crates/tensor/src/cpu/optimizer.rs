use super::simd::{Arithmetic, Task};
use super::{Buffer, Cpu};
use crate::Result;
use crate::ops::{
    GradientPieces, OptimizedTensor, OptimizerBackend, OptimizerStep, StepSizes, UpdateRule,
};

/// Parameters that are worked on at a time, so that their summed gradient stays in the cache.
const BLOCK: usize = 1024;

/// Parameters that are not worth a second thread.
const SHARE: usize = 16 * 1024;

impl OptimizerBackend for Cpu {
    fn optimizer_steps(
        &self,
        step: &OptimizerStep<'_, Self>,
        tensors: &mut [OptimizedTensor<'_, Buffer>],
    ) -> Result<()> {
        let OptimizerStep { rule, weight_decay, .. } = *step;
        let [rate, scale] = match step.sizes {
            StepSizes::Given(sizes) => sizes,
            StepSizes::Table { table, clock } => {
                let row = clock.slice::<u32>()[1] as usize;
                [table.slice::<f32>()[2 * row], table.slice::<f32>()[2 * row + 1]]
            }
        };
        for OptimizedTensor { len, parameters, gradients, state } in tensors {
            let parameters = &mut parameters.slice_mut::<f32>()[..*len];
            let mut of_state = [&mut [][..], &mut []];
            for (values, buffer) in of_state.iter_mut().zip(&mut **state) {
                *values = &mut buffer.slice_mut::<f32>()[..*len];
            }
            let weight_decay = weight_decay as f32;
            let update = Update { rule, rate, scale, weight_decay, len: *len, gradients };
            self.update(&update, Run { first: 0, parameters, state: of_state });
        }
        Ok(())
    }
}

impl Cpu {
    /// Changes a run of parameters, which several threads take apart.
    fn update(&self, update: &Update<'_>, run: Run<'_>) {
        let len = run.parameters.len();
        if self.thread_count() == 1 || len <= SHARE {
            return self.engine().run(UpdateTask { update, run });
        }
        let [low, high] = run.split_at(len / 2);
        self.install(|| rayon::join(|| self.update(update, low), || self.update(update, high)));
    }
}

/// A run of parameters, and of each of their state buffers.
struct Run<'a> {
    /// The index of the first parameter.
    first: usize,
    parameters: &'a mut [f32],
    /// Empty where the rule has none.
    state: [&'a mut [f32]; 2],
}

impl<'a> Run<'a> {
    fn split_at(self, middle: usize) -> [Run<'a>; 2] {
        let (low, high) = self.parameters.split_at_mut(middle);
        let [a, b] = self.state.map(|state| state.split_at_mut(middle.min(state.len())));
        [
            Run { first: self.first, parameters: low, state: [a.0, b.0] },
            Run { first: self.first + middle, parameters: high, state: [a.1, b.1] },
        ]
    }
}

/// What is done to every parameter.
struct Update<'a> {
    rule: UpdateRule,
    rate: f32,
    scale: f32,
    weight_decay: f32,
    /// The length of the tensor, and what its gradient is the sum of.
    len: usize,
    gradients: &'a [GradientPieces<'a, Buffer>],
}

struct UpdateTask<'a, 'b> {
    update: &'a Update<'a>,
    run: Run<'b>,
}

impl Task for UpdateTask<'_, '_> {
    #[inline(always)]
    fn run<M: Arithmetic>(self) {
        let Update { rule, rate, scale, .. } = *self.update;
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

impl UpdateTask<'_, '_> {
    /// Runs `update(parameters, gradient, state)` for every block.
    #[inline(always)]
    fn each_block(self, update: impl Fn(&mut [f32], &[f32], [&mut [f32]; 2])) {
        let Run { mut first, parameters, state: [a, b] } = self.run;
        let (mut a, mut b) = (a.chunks_mut(BLOCK), b.chunks_mut(BLOCK));
        let mut sums = [0.0; BLOCK];
        for parameters in parameters.chunks_mut(BLOCK) {
            let gradient = &mut sums[..parameters.len()];
            self.update.total(first, gradient);
            for (g, p) in gradient.iter_mut().zip(&*parameters) {
                *g += self.update.weight_decay * p;
            }
            first += parameters.len();
            let state = [a.next().unwrap_or_default(), b.next().unwrap_or_default()];
            update(parameters, gradient, state);
        }
    }
}

impl Update<'_> {
    /// The sum of the gradients from parameter `first` on, in their order.
    #[inline(always)]
    fn total(&self, first: usize, sums: &mut [f32]) {
        let mut gradients = self.gradients.iter().flat_map(|part| {
            let pieces = part.buffer.slice::<f32>().chunks_exact(self.len);
            pieces.take(part.count)
        });
        let Some(start) = gradients.next() else {
            return sums.fill(0.0);
        };
        sums.copy_from_slice(&start[first..][..sums.len()]);
        for gradient in gradients {
            for (sum, g) in sums.iter_mut().zip(&gradient[first..]) {
                *sum += g;
            }
        }
    }
}
