//! From a gradient to changed parameters.

use nasrl_tensor::ops::{GradientPieces, OptimizedTensor, OptimizerStep, StepSizes, UpdateRule};
use nasrl_tensor::{Backend, DType, Result};

use crate::parameters::Parameters;
use crate::{Config, Optimizer};

/// An optimizer and its state.
pub(crate) struct Descent<B: Backend> {
    backend: B,
    optimizer: Optimizer,
    clip_norm: f64,
    l2: f64,
    /// Two for each parameter, of its size; SGD uses the first.
    pub(crate) state: Vec<[B::Buffer; 2]>,
    /// Steps since the state was zero.
    pub(crate) steps: u64,
}

impl<B: Backend> Descent<B> {
    pub(crate) fn new(backend: &B, config: &Config, parameters: &Parameters<B>) -> Result<Self> {
        let zeros = |count: usize| backend.zeros(DType::F32, count);
        let state = |count| Ok([zeros(count)?, zeros(count)?]);
        Ok(Descent {
            backend: backend.clone(),
            optimizer: config.optimizer,
            clip_norm: config.clip_norm,
            l2: config.l2,
            state: parameters
                .specs
                .iter()
                .map(|spec| state(spec.count()))
                .collect::<Result<_>>()?,
            steps: 0,
        })
    }

    /// One step against the gradients, which are clipped in place.
    pub(crate) fn step(&mut self, parameters: &mut Parameters<B>, rate: f64) -> Result<()> {
        if self.clip_norm < f64::INFINITY {
            let counts = parameters.specs.iter().map(|spec| spec.count());
            let mut gradients: Vec<_> = counts.zip(&mut parameters.gradients).collect();
            self.backend.clip_global_norm(self.clip_norm as f32, &mut gradients)?;
        }
        self.steps += 1;
        let rule = self.optimizer.rule();
        let sizes = StepSizes::Given(rule.sizes(rate, self.steps));
        let step = OptimizerStep { rule, weight_decay: 2.0 * self.l2, sizes };
        let Parameters { specs, values, gradients, .. } = parameters;
        let whole = |buffer| [GradientPieces { buffer, count: 1 }];
        let gradients: Vec<_> = gradients.iter().map(whole).collect();
        let operands = specs.iter().zip(values).zip(&gradients).zip(&mut self.state);
        let tensors = operands.map(|(((spec, parameters), gradients), state)| OptimizedTensor {
            len: spec.count(),
            parameters,
            gradients,
            state: &mut state[..rule.state_buffers()],
        });
        self.backend.optimizer_steps(&step, &mut tensors.collect::<Vec<_>>())
    }

    /// Forgets all steps.
    pub(crate) fn clear(&mut self, parameters: &Parameters<B>) -> Result<()> {
        self.steps = 0;
        for (spec, state) in parameters.specs.iter().zip(&mut self.state) {
            for buffer in state {
                self.backend.clear(spec.count(), buffer)?;
            }
        }
        Ok(())
    }
}

impl Optimizer {
    fn rule(self) -> UpdateRule {
        match self {
            Optimizer::Sgd { momentum } => UpdateRule::Sgd { momentum, nesterov: false },
            Optimizer::Adam { beta1, beta2, epsilon } => UpdateRule::Adam { beta1, beta2, epsilon },
            Optimizer::RmsProp { decay, momentum, epsilon } => {
                UpdateRule::RmsProp { decay, momentum, epsilon }
            }
        }
    }
}
