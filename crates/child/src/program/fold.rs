//! Convolutions that take in what stands around them, where the device has kernels for it.
//!
//! What normalises, puts side by side, cuts up or adds up the operands of convolutions is one pass
//! over memory each. A convolution reads its input through batch normalisations and out of several
//! values, takes the statistics of what it writes, and adds the gradient of its input to what is
//! there; the steps that did so go, unless something else reads what they compute. The results are
//! the same but for the order of sums within statistics.

use super::ir::{
    Folded, Folding, Head, LeftBy, Listing, Made, Normed, Operation, Output, Read, Step, ValueId,
    Write,
};
use super::parameters::ParameterId;

/// What a device can fold.
pub(super) struct Foldings {
    /// For each buffer of parameters that are filters.
    pub(super) convolutions: Vec<Option<Folding>>,
    /// Whether it has a kernel for the head of a network.
    pub(super) head: bool,
}

impl Listing {
    /// The same program with steps that fold as much as the device lets them; `parts` says in how
    /// many parts, at most, a head leaves its statistics.
    pub(super) fn folded(self, foldings: &Foldings, parts: impl Fn(&Head) -> usize) -> Listing {
        let mut folder = Folder { gone: vec![false; self.steps.len()], listing: self, foldings };
        if foldings.head {
            folder.head(parts);
        }
        for index in 0..folder.listing.steps.len() {
            folder.forward(index);
        }
        for index in 0..folder.listing.steps.len() {
            folder.backward(index);
        }
        folder.drop_unread();
        folder.finish()
    }
}

/// A program whose steps are folded one after another; those that are gone stay in their places
/// until the end.
pub(super) struct Folder<'a> {
    pub(super) listing: Listing,
    foldings: &'a Foldings,
    pub(super) gone: Vec<bool>,
}

impl Folder<'_> {
    /// Folds what comes before and after a convolution.
    fn forward(&mut self, index: usize) {
        let step = self.listing.steps[index].clone();
        let Operation::Conv2d { filters, bias, relu } = step.operation else { return };
        let Some(folding) = self.folding(filters) else { return };
        let (segments, inputs) = self.segments(step.inputs[0], folding);
        let y = step.outputs[0];
        let moments = self.only(|of| {
            matches!(of.operation, Operation::BatchNormMoments { .. }) && y.is(of.inputs[0])
        });
        let mut outputs = vec![y];
        if let Some(of) = moments {
            let value = self.listing.steps[of].outputs[0];
            self.listing.grow(value, folding.parts.moments);
            self.listing.part(value, LeftBy::Convolution(filters));
            outputs.push(value);
            self.gone[of] = true;
        }
        let moments = moments.is_some();
        let folded = Folded::Fprop { filters, bias, relu, segments, moments };
        self.replace(index, folded, inputs, outputs);
    }

    fn backward(&mut self, index: usize) {
        match self.listing.steps[index].operation {
            Operation::Conv2dWgrad { filters } => self.wgrad(index, filters),
            Operation::Conv2dDgrad { filters } => self.dgrad(index, filters),
            _ => {}
        }
    }

    fn wgrad(&mut self, index: usize, filters: ParameterId) {
        let Some(folding) = self.folding(filters) else { return };
        let step = self.listing.steps[index].clone();
        let (x, dy) = (step.inputs[0], step.inputs[1]);
        let (segments, mut inputs) = self.segments(x, folding);
        let through = self.through(dy, folding, &mut inputs);
        let mut outputs = step.outputs;
        // The lowering leaves a convolution's two gradients side by side.
        let before = index.checked_sub(1).filter(|&before| {
            let before = &self.listing.steps[before];
            matches!(before.operation, Operation::BiasBackward { .. }) && before.inputs[0] == dy
        });
        if let Some(before) = before {
            outputs.extend(self.listing.steps[before].outputs.clone());
            self.gone[before] = true;
        }
        let folded = Folded::Wgrad { filters, through, segments };
        self.replace(index, folded, inputs, outputs);
    }

    fn dgrad(&mut self, index: usize, filters: ParameterId) {
        let Some(folding) = self.folding(filters) else { return };
        let step = self.listing.steps[index].clone();
        let mask = step.inputs.get(1).copied();
        let Output::Value(dx) = step.outputs[0] else { return };
        let targets = match self.slices(dx) {
            Some(slices) if folding.takes(slices.iter().map(|(channels, _)| *channels)) => slices,
            _ => vec![(folding.channels, dx)],
        };
        // Other numbers of channels are written as they are.
        let whole_vectors = folding.takes(targets.iter().map(|(channels, _)| *channels));
        let mut inputs = Vec::new();
        let through = self.through(step.inputs[0], folding, &mut inputs);
        let (mut outputs, mut all_sums, mut segments) = (Vec::new(), Vec::new(), Vec::new());
        for (channels, target) in targets {
            let slice = self.made_by(target).filter(|&made| made != index);
            // What this very step writes, it cannot be given: an input that is concatenated twice.
            let given = |(_, before, _): &(usize, ValueId, ValueId)| {
                whole_vectors && !outputs.contains(&Output::Value(*before))
            };
            let (target, before) = match self.added_to(target).filter(given) {
                Some((add, before, sum)) => {
                    self.gone[add] = true;
                    (sum, Some(before))
                }
                None => (target, None),
            };
            if let Some(slice) = slice {
                self.gone[slice] = true;
            }
            inputs.extend(before);
            let sums = self.only(|of| {
                let sums = matches!(of.operation, Operation::BatchNormSums { .. });
                let folds = of.operation.normed().is_some_and(Normed::folds);
                whole_vectors && sums && folds && of.inputs[1] == target
            });
            let producer = match (mask, sums) {
                (Some(mask), _) => {
                    inputs.push(mask);
                    Some(Made::Relu)
                }
                (None, Some(sums)) => {
                    let of = self.listing.steps[sums].clone();
                    self.gone[sums] = true;
                    self.listing.grow(of.outputs[0], folding.parts.sums);
                    self.listing.part(of.outputs[0], LeftBy::Convolution(filters));
                    inputs.push(of.inputs[0]);
                    all_sums.extend(of.outputs);
                    of.operation.normed().map(Made::BatchNorm)
                }
                (None, None) => None,
            };
            segments.push(Write { channels, adds: before.is_some(), producer });
            outputs.push(Output::Value(target));
        }
        outputs.extend(all_sums);
        let folded = Folded::Dgrad { filters, through, segments };
        self.replace(index, folded, inputs, outputs);
    }

    /// What a value is made of, for a convolution that can read it in pieces.
    fn segments(&self, x: ValueId, folding: Folding) -> (Vec<Read>, Vec<ValueId>) {
        let channels = |value: &ValueId| self.listing.value(*value).of_image() / folding.pixels;
        let fits = |parts: &&[ValueId]| folding.takes(parts.iter().map(channels));
        let concat =
            self.maker(x).filter(|step| matches!(step.operation, Operation::Concat { .. }));
        let concat = concat.map(|step| &step.inputs[..]);
        let whole = [x];
        let Some(parts) = concat.into_iter().chain([&whole[..]]).find(fits) else {
            return (vec![Read { channels: folding.channels, norm: None }], vec![x]);
        };
        let mut segments = Vec::new();
        let mut inputs = Vec::new();
        for &value in parts {
            let apply = self.maker(value);
            let apply = apply.filter(|step| {
                let applies = matches!(step.operation, Operation::BatchNormApply { .. });
                applies && step.operation.normed().is_some_and(Normed::folds)
            });
            let norm = apply.and_then(|step| step.operation.normed());
            let from = apply.map_or(value, |step| step.inputs[0]);
            segments.push(Read { channels: channels(&value), norm });
            inputs.push(from);
        }
        (segments, inputs)
    }

    /// The batch normalisation that a gradient came through; appends what it is computed from, or
    /// the gradient itself.
    fn through(&self, dy: ValueId, folding: Folding, inputs: &mut Vec<ValueId>) -> Option<Normed> {
        match self.maker(dy) {
            Some(step)
                if folding.takes([folding.filters].into_iter())
                    && matches!(step.operation, Operation::BatchNormBackward { .. })
                    && step.operation.normed().is_some_and(Normed::folds) =>
            {
                inputs.extend([step.inputs[1], step.inputs[0]]);
                step.operation.normed()
            }
            _ => {
                inputs.push(dy);
                None
            }
        }
    }

    /// The slices that a gradient is cut into, all of it and nothing else, by channels.
    fn slices(&self, dx: ValueId) -> Option<Vec<(usize, ValueId)>> {
        let mut slices = Vec::new();
        for reader in self.readers(dx) {
            let step = &self.listing.steps[reader];
            let (Operation::Slice { pixels, first, channels }, Output::Value(slice)) =
                (step.operation, step.outputs[0])
            else {
                return None;
            };
            slices.push((first, channels, slice, pixels));
        }
        slices.sort_unstable_by_key(|slice| slice.0);
        let mut next = 0;
        let mut all = 0;
        for &(first, channels, _, pixels) in &slices {
            if first != next {
                return None;
            }
            next += channels;
            all = next * pixels;
        }
        let whole = all > 0 && all == self.listing.value(dx).of_image();
        whole.then(|| slices.into_iter().map(|(_, channels, slice, _)| (channels, slice)).collect())
    }

    /// The step that adds a value to another and is all that reads it, what it is added to, and the
    /// sum.
    fn added_to(&self, value: ValueId) -> Option<(usize, ValueId, ValueId)> {
        let readers = self.readers(value);
        let &[reader] = &readers[..] else { return None };
        let step = &self.listing.steps[reader];
        match (step.operation, &step.inputs[..], step.outputs[0]) {
            (Operation::Add, &[before, added], Output::Value(sum))
                if added == value && before != value =>
            {
                Some((reader, before, sum))
            }
            _ => None,
        }
    }

    fn folding(&self, filters: ParameterId) -> Option<Folding> {
        self.foldings.convolutions.get(filters.0).copied().flatten()
    }

    pub(super) fn replace(
        &mut self,
        index: usize,
        folded: Folded,
        inputs: Vec<ValueId>,
        outputs: Vec<Output>,
    ) {
        let operation = Operation::Folded(self.listing.folded.len());
        self.listing.folded.push(folded);
        self.listing.steps[index] = Step { operation, inputs, outputs };
    }

    /// Steps that are there.
    fn there(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.listing.steps.iter().enumerate().filter(|(index, _)| !self.gone[*index])
    }

    /// The one step of a kind.
    pub(super) fn only(&self, is_it: impl Fn(&Step) -> bool) -> Option<usize> {
        let mut found = self.there().filter(|(_, step)| is_it(step)).map(|(index, _)| index);
        found.next().filter(|_| found.next().is_none())
    }

    pub(super) fn readers(&self, value: ValueId) -> Vec<usize> {
        let readers = self.there().filter(|(_, step)| step.inputs.contains(&value));
        readers.map(|(index, _)| index).collect()
    }

    pub(super) fn made_by(&self, value: ValueId) -> Option<usize> {
        let index = |(index, _): (usize, &Step)| index;
        self.there().find(|(_, step)| step.outputs.contains(&Output::Value(value))).map(index)
    }

    pub(super) fn maker(&self, value: ValueId) -> Option<&Step> {
        self.made_by(value).map(|index| &self.listing.steps[index])
    }

    /// Lets go of steps whose results nobody reads any more.
    fn drop_unread(&mut self) {
        for index in (0..self.listing.steps.len()).rev() {
            let step = &self.listing.steps[index];
            let passes_on = matches!(
                step.operation,
                Operation::BatchNormApply { .. }
                    | Operation::BatchNormBackward { .. }
                    | Operation::Concat { .. }
            );
            let read = step.outputs.iter().any(|output| match output {
                Output::Value(value) => !self.readers(*value).is_empty(),
                Output::Gradient(_) => true,
            });
            self.gone[index] |= passes_on && !read;
        }
    }

    /// The steps that are left, and the reductions between them.
    fn finish(self) -> Listing {
        let Folder { mut listing, gone, .. } = self;
        let mut left = vec![0; gone.len() + 1];
        for (index, gone) in gone.iter().enumerate() {
            left[index + 1] = left[index] + usize::from(!gone);
        }
        for (end, _) in &mut listing.reductions {
            *end = left[*end];
        }
        let mut gone = gone.into_iter();
        listing.steps.retain(|_| !gone.next().unwrap_or(false));
        listing
    }
}
