//! Lists of operands for a device, whose memory stays from one step to the next.

use std::mem;

use nasrl_tensor::ops::{GradientPieces, OptimizedTensor, OptimizerStep, Parts};
use nasrl_tensor::{Backend, Result};

use super::batch::Gradients;
use super::state::Trained;

/// The operands of a share of the optimizer's step; empty between steps.
pub(super) struct Operands<B: Backend> {
    pieces: Vec<GradientPieces<'static, B::Buffer>>,
    tensors: Vec<OptimizedTensor<'static, B::Buffer>>,
    plans: Vec<(&'static mut B::Conv2dPlan, &'static B::Buffer)>,
}

/// The statistics of a batch's blocks; empty between steps.
pub(super) type Statistics<B> = Vec<Parts<'static, B>>;

/// A list without its elements, for others that may borrow for another time: one collected from
/// what is left of a list of elements of the same size takes over its memory.
pub(super) fn emptied<T, U>(mut list: Vec<T>) -> Vec<U> {
    list.clear();
    list.into_iter().map(|_| unreachable!("the list is empty")).collect()
}

impl<B: Backend> Operands<B> {
    /// With room for shares of so many buffers of parameters, with gradients of so many parts.
    pub(super) fn new(parameters: usize, parts: usize) -> Self {
        Operands {
            pieces: Vec::with_capacity(parameters * parts),
            tensors: Vec::with_capacity(parameters),
            plans: Vec::with_capacity(parameters),
        }
    }

    /// Takes a step of the optimizer for some buffers of parameters from number `first` on.
    pub(super) fn descend(
        &mut self,
        on: &B,
        step: &OptimizerStep<'_, B>,
        gradients: &Gradients<'_, B>,
        (first, parameters): (usize, &mut [Trained<B>]),
    ) -> Result<()> {
        if parameters.is_empty() {
            return Ok(());
        }
        let mut pieces = emptied(mem::take(&mut self.pieces));
        let mut tensors = emptied(mem::take(&mut self.tensors));
        for (index, parameter) in (first..).zip(&*parameters) {
            pieces.extend(gradients.of(index, parameter));
        }
        let mut rest = &pieces[..];
        for (index, parameter) in (first..).zip(&mut *parameters) {
            let (gradients, others) = rest.split_at(gradients.of(index, parameter).count());
            rest = others;
            let Trained { len, values: parameters, moments: state, .. } = parameter;
            tensors.push(OptimizedTensor { len: *len, parameters, gradients, state });
        }
        on.optimizer_steps(step, &mut tensors)?;
        self.tensors = emptied(tensors);
        self.pieces = emptied(pieces);

        let mut plans = emptied(mem::take(&mut self.plans));
        let parameters = parameters.iter_mut();
        plans.extend(parameters.filter_map(|of| Some((of.plan.as_mut()?, &of.values))));
        on.conv2d_load_all(&mut plans)?;
        self.plans = emptied(plans);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the standard library does, and does not promise.
    #[test]
    fn an_emptied_list_keeps_its_memory() {
        let list = vec![&1, &2, &3];
        let (address, capacity) = (list.as_ptr().addr(), list.capacity());
        let others: Vec<&mut u8> = emptied(list);
        assert_eq!((others.len(), others.as_ptr().addr()), (0, address));
        assert_eq!(others.capacity(), capacity);
    }
}
