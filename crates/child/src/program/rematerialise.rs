//! Computing again instead of keeping: what a later stage needs of an earlier one.
//!
//! With batch normalisation every layer ends a stage, so that a value which the backward pass reads
//! must be kept for the whole batch. Concatenations, zeros around images and normalised activations
//! are worth none of that memory: each is one pass over values that are kept anyway. A stage that
//! reads one from an earlier stage makes it again, for its own block and in the thread's buffers
//! (Chen, Xu, Zhang and Guestrin 2016, arXiv 1604.06174). The bits are the same.

use std::collections::BTreeMap;

use super::ir::{Listing, Operation, Output, Reduction, Step, ValueId};

impl Listing {
    /// The same program, whose stages make for themselves what is cheap to make again.
    pub(super) fn rematerialised(self) -> Listing {
        let Listing { values, steps, folded, reductions } = self;
        let born = vec![0; values.len()];
        let mut copy = Rewriting {
            born,
            made_by: values.iter().map(|_| None).collect(),
            again: BTreeMap::new(),
            stage: 0,
            listing: Listing { values, folded, ..Listing::default() },
        };
        let mut reductions = reductions.into_iter().peekable();
        for (index, step) in steps.into_iter().enumerate() {
            while let Some((_, reduction)) = reductions.next_if(|(end, _)| *end == index) {
                copy.reduce(reduction);
            }
            copy.step(step);
        }
        reductions.for_each(|(_, reduction)| copy.reduce(reduction));
        copy.listing
    }
}

/// A program on its way into another.
struct Rewriting {
    /// The stage that each value is computed in.
    born: Vec<usize>,
    /// The step that computes each value, as it was written, if it may run again.
    made_by: Vec<Option<Step>>,
    /// What the present stage has made again.
    again: BTreeMap<ValueId, ValueId>,
    /// Counted by reductions, so that two that end one stage leave an empty one between them.
    stage: usize,
    listing: Listing,
}

impl Rewriting {
    fn step(&mut self, mut step: Step) {
        for output in &step.outputs {
            if let Output::Value(output) = output {
                self.born[output.0] = self.stage;
                self.made_by[output.0] = is_cheap(&step.operation).then(|| step.clone());
            }
        }
        self.read(&mut step);
        self.listing.steps.push(step);
    }

    fn reduce(&mut self, reduction: Reduction) {
        self.listing.reductions.push((self.listing.steps.len(), reduction));
        self.stage += 1;
        self.again.clear();
    }

    /// Lets a step read values of its own stage where those of another are cheap.
    fn read(&mut self, step: &mut Step) {
        for input in &mut step.inputs {
            *input = self.here(*input);
        }
    }

    /// A value as the present stage has it.
    fn here(&mut self, value: ValueId) -> ValueId {
        if self.born[value.0] == self.stage {
            return value;
        }
        if let Some(&made) = self.again.get(&value) {
            return made;
        }
        let Some(mut step) = self.made_by[value.0].clone() else { return value };
        self.read(&mut step);
        let made = self.listing.push(step.operation, &step.inputs, self.listing.value(value));
        self.born.push(self.stage);
        self.made_by.push(None);
        self.again.insert(value, made);
        made
    }
}

/// Whether an operation is one pass over its inputs that moves or scales them.
fn is_cheap(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Concat { .. } | Operation::Pad2d(_) | Operation::BatchNormApply { .. }
    )
}
