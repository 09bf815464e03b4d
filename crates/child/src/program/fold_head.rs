//! The head of a network as one step: global average pooling, a dense layer, the loss and their
//! gradients.

use super::fold::Folder;
use super::ir::{Folded, Head, LeftBy, Made, Normed, Operation, Output, Step, ValueId};

/// The steps of a head, forward and, in training, backward.
struct Steps {
    head: Head,
    /// Where in the list: pooling, dense layer, bias, loss.
    forward: [usize; 4],
    backward: Option<Backward>,
}

/// Where the gradients of a head are computed.
struct Backward {
    bias: usize,
    weight: usize,
    dense: usize,
    pool: usize,
    relu: bool,
}

impl Folder<'_> {
    /// Folds the head of the network, if it is one that devices have a kernel for. `parts` says in
    /// how many parts its statistics come.
    pub(super) fn head(&mut self, parts: impl Fn(&Head) -> usize) {
        let Some(Steps { mut head, forward, backward }) = self.find_head() else { return };
        let [pool, _, _, loss] = forward;
        let mut inputs = self.listing.steps[pool].inputs.clone();
        let x = inputs[0];
        let mut outputs = Vec::new();
        if let Some(backward) = &backward {
            let [weight, bias, pool] =
                [backward.weight, backward.bias, backward.pool].map(|step| self.outputs(step));
            let dx = pool[0];
            outputs.extend([dx, weight[0], bias[0]]);
            head.producer = backward.relu.then_some(Made::Relu);
            let sums = self.only(|of| {
                matches!(of.operation, Operation::BatchNormSums { .. }) && dx.is(of.inputs[1])
            });
            let applied = self.applied(x);
            if let (Some(sums), Some((from, normed))) = (sums, applied) {
                let value = self.outputs(sums)[0];
                self.listing.grow(value, parts(&head));
                self.listing.part(value, LeftBy::Head(head));
                outputs.push(value);
                self.gone[sums] = true;
                inputs[0] = from;
                head.producer = Some(Made::BatchNorm(normed));
            }
        } else if let Some((from, normed)) = self.applied(x) {
            inputs[0] = from;
            head.producer = Some(Made::BatchNorm(normed));
        }
        inputs.push(self.listing.steps[loss].inputs[1]);
        forward[..3].iter().for_each(|&step| self.gone[step] = true);
        if let Some(Backward { bias, weight, dense, pool, .. }) = backward {
            [bias, weight, dense, pool].iter().for_each(|&step| self.gone[step] = true);
        }
        self.replace(loss, Folded::Head(head), inputs, outputs);
    }

    /// The normalisation that a value is the result of, and what that reads.
    fn applied(&self, x: ValueId) -> Option<(ValueId, Normed)> {
        let step = self.maker(x)?;
        let applies = matches!(step.operation, Operation::BatchNormApply { .. });
        applies.then_some((step.inputs[0], step.operation.normed()?))
    }

    fn find_head(&self) -> Option<Steps> {
        let loss = self.only(|step| step.operation == Operation::Loss)?;
        let (bias_at, bias_step) = self.sole(self.listing.steps[loss].inputs[0], 1)?;
        let Operation::Bias { bias, channels: classes } = bias_step.operation else { return None };
        let (dense_at, dense) = self.sole(bias_step.inputs[0], 1)?;
        let Operation::Dense { weight, .. } = dense.operation else { return None };
        let features = dense.inputs[0];
        let dlogits = self.value_of(loss)?;
        let readers = self.readers(dlogits);
        let trained = !readers.is_empty();
        let (pool_at, pool) = self.sole(features, 1 + usize::from(trained))?;
        let Operation::GlobalAveragePool { pixels, channels } = pool.operation else { return None };
        let head = Head { pixels, channels, classes, weight, bias, producer: None, trained };
        let forward = [pool_at, dense_at, bias_at, loss];
        if !trained {
            return Some(Steps { head, forward, backward: None });
        }
        let of = |is_it: fn(&Operation) -> bool| {
            readers.iter().copied().find(|&reader| is_it(&self.listing.steps[reader].operation))
        };
        let bias = of(|of| matches!(of, Operation::BiasBackward { .. }))?;
        let weight = of(|of| matches!(of, Operation::DenseWgrad { .. }))?;
        let dense = of(|of| matches!(of, Operation::DenseDgrad { .. }))?;
        let readers_of_df = self.readers(self.value_of(dense)?);
        let &[pool] = &readers_of_df[..] else { return None };
        let back = &self.listing.steps[pool];
        let pools = matches!(back.operation, Operation::GlobalAveragePoolBackward { .. });
        if readers.len() != 3 || self.listing.steps[weight].inputs[0] != features || !pools {
            return None;
        }
        let relu = back.inputs.len() > 1;
        Some(Steps { head, forward, backward: Some(Backward { bias, weight, dense, pool, relu }) })
    }

    /// The step that makes a value, if so many read it.
    fn sole(&self, value: ValueId, readers: usize) -> Option<(usize, &Step)> {
        let index = self.made_by(value)?;
        (self.readers(value).len() == readers).then_some((index, &self.listing.steps[index]))
    }

    fn value_of(&self, step: usize) -> Option<ValueId> {
        match self.listing.steps[step].outputs[..] {
            [Output::Value(value)] => Some(value),
            _ => None,
        }
    }

    fn outputs(&self, step: usize) -> Vec<Output> {
        self.listing.steps[step].outputs.clone()
    }
}
