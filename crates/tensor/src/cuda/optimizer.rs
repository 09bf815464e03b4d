use bytemuck::{NoUninit, Pod, Zeroable};

use super::launch::Grid;
use super::module::{Kernel, kernels};
use super::{Buffer, Cuda};
use crate::ops::{AddBackend, OptimizedTensor, OptimizerBackend, OptimizerStep, UpdateRule};
use crate::{DType, Error, Memory, Result};

kernels! { nasrl_kernels::OPTIMIZER {
    SGD: optimizer_sgd(; Jobs);
    ADAM: optimizer_adam(; Jobs);
    RMSPROP: optimizer_rmsprop(; Jobs);
} }

/// Tensors of one launch: fewer than the 4 KiB of a kernel's parameters have room for.
const MOST_JOBS: usize = 64;

/// Parameters that a block changes.
const BLOCK: usize = 1024;

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Jobs {
    descent: Descent,
    count: u32,
    reserved: u32,
    jobs: [Job; MOST_JOBS],
}

/// The numbers of `optimizer.cu`; a rule leaves those that it does not have at 0.
#[derive(Clone, Copy, Default, NoUninit)]
#[repr(C)]
struct Descent {
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

/// A tensor: the addresses of its operands, of which `v` is 0 if the rule has none, and the first of
/// its blocks.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Job {
    parameters: u64,
    gradient: u64,
    m: u64,
    v: u64,
    len: u64,
    block: u64,
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
        let tensor = OptimizedTensor { len, parameters, gradients, state };
        self.optimizer_steps(step, &mut [tensor])
    }

    /// One launch for 64 tensors, and before it one for each piece that a gradient has beyond the
    /// first.
    fn optimizer_steps(
        &self,
        step: &OptimizerStep,
        tensors: &mut [OptimizedTensor<'_, Buffer>],
    ) -> Result<()> {
        let kernel: &Kernel<0, Jobs> = match step.rule {
            UpdateRule::Sgd { .. } => &SGD,
            UpdateRule::Adam { .. } => &ADAM,
            UpdateRule::RmsProp { .. } => &RMSPROP,
        };
        for tensors in tensors.chunks_mut(MOST_JOBS) {
            let mut jobs = Jobs {
                descent: Descent::new(step),
                count: 0,
                reserved: 0,
                jobs: [Job::zeroed(); MOST_JOBS],
            };
            let (mut blocks, mut sums) = (0, Vec::new());
            for (tensor, job) in tensors.iter_mut().zip(&mut jobs.jobs) {
                let (sum, len) = (self.sum(tensor)?, tensor.len);
                let gradient = sum.as_ref().unwrap_or_else(|| tensor.gradients[0]);
                *job = Job {
                    parameters: self.operand(tensor.parameters, len)?,
                    gradient: self.operand(gradient, len)?,
                    m: self.operand(&tensor.state[0], len)?,
                    v: tensor.state.get(1).map_or(Ok(0), |v| self.operand(v, len))?,
                    len: len as u64,
                    block: blocks as u64,
                };
                assert_eq!(tensor.state.len(), step.rule.state_buffers(), "{:?}", step.rule);
                blocks += len.div_ceil(BLOCK);
                jobs.count += 1;
                // Kept until the launch that reads it.
                sums.push(sum);
            }
            self.launch(kernel, Grid::blocks(blocks), [], jobs)?;
        }
        Ok(())
    }
}

impl Cuda {
    /// The address of `len` f32 on this stream. What is written is borrowed as mutable by the
    /// tensor that it is of.
    fn operand(&self, buffer: &Buffer, len: usize) -> Result<u64> {
        let argument = buffer.read(len);
        self.check_stream(argument.stream)?;
        match argument.dtype {
            DType::F32 => Ok(argument.pointer),
            found => Err(Error::DType { op: "optimizer_step", found, expected: "f32" }),
        }
    }

    /// The sum of a gradient's pieces, in their order; nothing for one piece.
    fn sum(&self, tensor: &OptimizedTensor<'_, Buffer>) -> Result<Option<Buffer>> {
        let Some((first, others)) = tensor.gradients.split_first() else {
            return self.zeros(DType::F32, tensor.len).map(Some);
        };
        if others.is_empty() {
            return Ok(None);
        }
        let mut sum = self.uninitialised(DType::F32, tensor.len)?;
        self.copy(tensor.len, first, &mut sum)?;
        for piece in others {
            self.add_assign(tensor.len, piece, &mut sum)?;
        }
        Ok(Some(sum))
    }
}

impl Descent {
    fn new(step: &OptimizerStep) -> Self {
        let OptimizerStep { rule, rate, weight_decay, number } = *step;
        let decay = weight_decay as f32;
        let common = Descent { rate: rate as f32, decay, ..Descent::default() };
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
