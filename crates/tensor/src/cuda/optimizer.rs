use bytemuck::{NoUninit, Zeroable};

use super::launch::Grid;
use super::module::{Kernel, kernels};
use super::{Buffer, Cuda};
use crate::ops::{OptimizedTensor, OptimizerBackend, OptimizerStep, StepSizes, UpdateRule};
use crate::{DType, Error, Result};

kernels! { nasrl_kernels::OPTIMIZER {
    SGD: optimizer_sgd_64(read f32, read u32; Jobs<FEW>);
    ADAM: optimizer_adam_64(read f32, read u32; Jobs<FEW>);
    RMSPROP: optimizer_rmsprop_64(read f32, read u32; Jobs<FEW>);
    SGD_MANY: optimizer_sgd_480(read f32, read u32; Jobs<MANY>);
    ADAM_MANY: optimizer_adam_480(read f32, read u32; Jobs<MANY>);
    RMSPROP_MANY: optimizer_rmsprop_480(read f32, read u32; Jobs<MANY>);
} }

/// Jobs and sources of a launch whose parameters are soon sent.
const FEW: usize = 64;

/// As many as the 32,764 bytes of a kernel's parameters have room for, less a few.
const MANY: usize = 480;

/// Parameters that a block changes.
const BLOCK: usize = 1024;

#[derive(Clone, Copy)]
#[repr(C)]
struct Jobs<const ROOM: usize> {
    descent: Descent,
    count: u32,
    reserved: u32,
    jobs: [Job; ROOM],
    sources: [Source; ROOM],
}

// SAFETY: 40, 4, 4, 48 ROOM and 16 ROOM bytes of types without padding, aligned to 8 at most, leave
// no gap between them and none at the end.
unsafe impl<const ROOM: usize> NoUninit for Jobs<ROOM> {}

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

/// A tensor: the addresses of its operands, of which `v` is 0 if the rule has none, the first of its
/// blocks, and where its sources are in the list of all.
#[derive(Clone, Copy, NoUninit, Zeroable)]
#[repr(C)]
struct Job {
    parameters: u64,
    m: u64,
    v: u64,
    len: u64,
    block: u64,
    source: u32,
    sources: u32,
}

/// The address of pieces of a gradient, and how many they are.
#[derive(Clone, Copy, NoUninit, Zeroable)]
#[repr(C)]
struct Source {
    pieces: u64,
    count: u64,
}

impl OptimizerBackend for Cuda {
    /// One launch for 480 tensors whose gradients are in one buffer each.
    fn optimizer_steps(
        &self,
        step: &OptimizerStep<'_, Self>,
        tensors: &mut [OptimizedTensor<'_, Buffer>],
    ) -> Result<()> {
        let mut list = List::default();
        for tensor in tensors {
            let sources = tensor.gradients.len();
            if sources > MANY {
                let (name, value) = ("the number of parts of a gradient", sources.to_string());
                return Err(Error::Parameter { op: OP, name, value, rule: "at most 480" });
            }
            if list.jobs.len() == MANY || list.sources.len() + sources > MANY {
                std::mem::take(&mut list).launch(self, step)?;
            }
            list.push(self, step.rule, tensor)?;
        }
        list.launch(self, step)
    }
}

const OP: &str = "optimizer_steps";

/// The tensors of a launch.
#[derive(Default)]
struct List {
    jobs: Vec<Job>,
    sources: Vec<Source>,
    blocks: usize,
}

impl List {
    fn push(
        &mut self,
        on: &Cuda,
        rule: UpdateRule,
        tensor: &mut OptimizedTensor<'_, Buffer>,
    ) -> Result<()> {
        let OptimizedTensor { len, parameters, gradients, state } = tensor;
        assert_eq!(state.len(), rule.state_buffers(), "{rule:?}");
        let mut state = state.iter_mut().map(|state| on.address(state.write(*len), DType::F32));
        self.jobs.push(Job {
            parameters: on.address(parameters.write(*len), DType::F32)?,
            m: state.next().unwrap_or(Ok(0))?,
            v: state.next().unwrap_or(Ok(0))?,
            len: *len as u64,
            block: self.blocks as u64,
            source: self.sources.len() as u32,
            sources: gradients.len() as u32,
        });
        for part in *gradients {
            let pieces = on.address(part.buffer.read(*len * part.count), DType::F32)?;
            self.sources.push(Source { pieces, count: part.count as u64 });
        }
        self.blocks += len.div_ceil(BLOCK);
        Ok(())
    }

    fn launch(self, on: &Cuda, step: &OptimizerStep<'_, Cuda>) -> Result<()> {
        let few = self.jobs.len().max(self.sources.len()) <= FEW;
        match (step.rule, few) {
            (UpdateRule::Sgd { .. }, true) => self.run(on, &SGD, step),
            (UpdateRule::Sgd { .. }, false) => self.run(on, &SGD_MANY, step),
            (UpdateRule::Adam { .. }, true) => self.run(on, &ADAM, step),
            (UpdateRule::Adam { .. }, false) => self.run(on, &ADAM_MANY, step),
            (UpdateRule::RmsProp { .. }, true) => self.run(on, &RMSPROP, step),
            (UpdateRule::RmsProp { .. }, false) => self.run(on, &RMSPROP_MANY, step),
        }
    }

    fn run<const ROOM: usize>(
        self,
        on: &Cuda,
        kernel: &'static Kernel<2, Jobs<ROOM>>,
        step: &OptimizerStep<'_, Cuda>,
    ) -> Result<()> {
        let mut jobs = Jobs {
            descent: Descent::new(step),
            count: self.jobs.len() as u32,
            reserved: 0,
            jobs: [Job::zeroed(); ROOM],
            sources: [Source::zeroed(); ROOM],
        };
        jobs.jobs[..self.jobs.len()].copy_from_slice(&self.jobs);
        jobs.sources[..self.sources.len()].copy_from_slice(&self.sources);
        let arguments = match step.sizes {
            StepSizes::Given(_) => [on.absent(DType::F32), on.absent(DType::U32)],
            StepSizes::Table { table, clock } => [table.read(2), clock.read(2)],
        };
        on.launch(kernel, Grid::blocks(self.blocks), arguments, jobs)
    }
}

impl Descent {
    fn new(step: &OptimizerStep<'_, Cuda>) -> Self {
        let [rate, scale] = match step.sizes {
            StepSizes::Given(sizes) => sizes,
            StepSizes::Table { .. } => [0.0; 2],
        };
        let decay = step.weight_decay as f32;
        let common = Descent { rate, scale, decay, ..Descent::default() };
        match step.rule {
            UpdateRule::Sgd { momentum, nesterov } => {
                Descent { momentum: momentum as f32, nesterov: u32::from(nesterov), ..common }
            }
            UpdateRule::Adam { beta1, beta2, epsilon } => Descent {
                beta1: beta1 as f32,
                new1: (1.0 - beta1) as f32,
                beta2: beta2 as f32,
                new2: (1.0 - beta2) as f32,
                epsilon: epsilon as f32,
                ..common
            },
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
