use bytemuck::NoUninit;

use super::launch::Grid;
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::ops::{AddBackend, OptimizerBackend, OptimizerStep, UpdateRule};
use crate::{DType, Memory, Result};

kernels! { nasrl_kernels::OPTIMIZER {
    SGD: optimizer_sgd(read f32, write f32, write f32; Descent);
    ADAM: optimizer_adam(read f32, write f32, write f32, write f32; Descent);
    RMSPROP: optimizer_rmsprop(read f32, write f32, write f32, write f32; Descent);
} }

/// The numbers of `optimizer.cu`; a rule leaves those that it does not have at 0.
#[derive(Clone, Copy, Default, NoUninit)]
#[repr(C)]
struct Descent {
    len: u64,
    rate: f32,
    decay: f32,
    momentum: f32,
    nesterov: u32,
    beta1: f32,
    new1: f32,
    beta2: f32,
    new2: f32,
    scale: f32,
    epsilon: f32,
}

impl OptimizerBackend for Cuda {
    fn optimizer_step(
        &self,
        len: usize,
        step: &OptimizerStep,
        parameters: &mut Buffer,
        gradients: &[&Buffer],
        state: &mut [Buffer],
    ) -> Result<()> {
        let whole;
        let gradient = match gradients {
            [gradient] => gradient,
            pieces => {
                whole = self.sum(len, pieces)?;
                &whole
            }
        };
        let (grid, descent) = (Grid::over(len, 256), Descent::new(len, step));
        let (g, p) = (gradient.read(len), parameters.write(len));
        match (step.rule, state) {
            (UpdateRule::Sgd { .. }, [m]) => self.launch(&SGD, grid, [g, p, m.write(len)], descent),
            (UpdateRule::Adam { .. }, [m, v]) => {
                self.launch(&ADAM, grid, [g, p, m.write(len), v.write(len)], descent)
            }
            (UpdateRule::RmsProp { .. }, [m, v]) => {
                self.launch(&RMSPROP, grid, [g, p, m.write(len), v.write(len)], descent)
            }
            (rule, state) => panic!("{rule:?} with {} buffers of state", state.len()),
        }
    }
}

impl Cuda {
    /// The sum of buffers, in their order.
    fn sum(&self, len: usize, pieces: &[&Buffer]) -> Result<Buffer> {
        let Some((first, others)) = pieces.split_first() else {
            return self.zeros(DType::F32, len);
        };
        let mut sum = self.uninitialised(DType::F32, len)?;
        self.copy(len, first, &mut sum)?;
        for piece in others {
            self.add_assign(len, piece, &mut sum)?;
        }
        Ok(sum)
    }
}

impl Descent {
    fn new(len: usize, step: &OptimizerStep) -> Self {
        let OptimizerStep { rule, rate, weight_decay, number } = *step;
        let decay = weight_decay as f32;
        let common = Descent { len: len as u64, rate: rate as f32, decay, ..Descent::default() };
        match rule {
            UpdateRule::Sgd { momentum, nesterov } => {
                Descent { momentum: momentum as f32, nesterov: u32::from(nesterov), ..common }
            }
            UpdateRule::Adam { beta1, beta2, epsilon } => {
                let corrections = [beta1, beta2].map(|beta| 1.0 - beta.powf(number as f64));
                Descent {
                    rate: (rate / corrections[0]) as f32,
                    beta1: beta1 as f32,
                    new1: (1.0 - beta1) as f32,
                    beta2: beta2 as f32,
                    new2: (1.0 - beta2) as f32,
                    scale: corrections[1].sqrt().recip() as f32,
                    epsilon: epsilon as f32,
                    ..common
                }
            }
            UpdateRule::RmsProp { decay, momentum, epsilon } => Descent {
                momentum: momentum as f32,
                beta2: decay as f32,
                new2: (1.0 - decay) as f32,
                epsilon: epsilon as f32,
                ..common
            },
        }
    }
}
