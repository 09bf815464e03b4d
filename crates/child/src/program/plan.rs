//! Where values are kept.
//!
//! A program runs stage by stage; a stage is run for one block of images after another, by
//! whichever thread is free. So a value that is used in its own stage alone is kept by the thread,
//! and one that is used in a later stage is kept for each block. Values whose lifetimes do not
//! overlap share a buffer (linear scan: Poletto and Sarkar 1999).

use std::ops::Range;

use nasrl_tensor::DType;

use super::ir::{Folded, Listing, Operation, Output, Reduction, Step, Value, ValueId};

/// A program with a place for every value.
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) folded: Vec<Folded>,
    pub(super) stages: Vec<Stage>,
    pub(super) values: Vec<Value>,
    pub(super) places: Vec<Slot>,
}

/// Steps that run for a block of images without waiting for others, and what follows them.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) steps: Range<usize>,
    pub(super) reductions: Vec<Reduction>,
}

/// The buffer of a value: of the thread or of the block, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Thread(usize),
    Block(usize),
}

/// The buffers of a program, shared by its plans.
#[derive(Default)]
pub(super) struct Slots {
    pub(super) thread: Pool,
    pub(super) block: Pool,
}

/// Buffers for the values of one kind of owner.
#[derive(Default)]
pub(super) struct Pool {
    pub(super) buffers: Vec<Room>,
    free: Vec<usize>,
}

/// What a buffer has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) dtype: DType,
    pub(super) elements: usize,
}

/// When a value is needed.
struct Life {
    /// The last step that reads it; its own if none does.
    last: usize,
    /// Whether a reduction or a step of another stage reads it.
    crosses: bool,
}

impl Plan {
    /// Places the values of a program for blocks of at most `images` images. Buffers that `slots`
    /// has already are taken first, so that programs that never run at once share them.
    pub(super) fn new(listing: Listing, images: usize, slots: &mut Slots) -> Self {
        let stages = stages(&listing);
        let lives = lives(&listing, &stages);
        let Listing { values, steps, folded, .. } = listing;
        slots.thread.free_all();
        slots.block.free_all();
        let mut places = vec![Slot::Thread(0); values.len()];
        for (index, step) in steps.iter().enumerate() {
            let mut ended: Vec<ValueId> =
                step.inputs.iter().copied().filter(|input| lives[input.0].last == index).collect();
            ended.sort_unstable();
            ended.dedup();
            let overwritable = overwritable(step, &folded);
            let mut unread = Vec::new();
            for (number, output) in step.outputs.iter().enumerate() {
                let Output::Value(output) = *output else { continue };
                let crosses = lives[output.0].crosses;
                let value = values[output.0];
                let over = overwritable.iter().find(|(over, _)| *over == number);
                let overwritten = over.map(|(_, input)| *input).filter(|input| {
                    let alike = lives[input.0].crosses == crosses && values[input.0] == value;
                    alike && ended.contains(input)
                });
                let room = Room { dtype: value.dtype, elements: value.len(images) };
                places[output.0] = match overwritten {
                    Some(input) => places[input.0],
                    None if crosses => Slot::Block(slots.block.take(room)),
                    None => Slot::Thread(slots.thread.take(room)),
                };
                ended.retain(|input| Some(*input) != overwritten);
                if lives[output.0].last == index {
                    unread.push(output);
                }
            }
            ended.append(&mut unread);
            for id in ended {
                slots.free(places[id.0]);
            }
        }
        Plan { steps, folded, stages, values, places }
    }

    /// The buffer of each block that holds a value which a reduction reads.
    pub(super) fn block_slot(&self, value: ValueId) -> usize {
        match self.places[value.0] {
            Slot::Block(index) => index,
            Slot::Thread(_) => unreachable!("what reductions read is kept for each block"),
        }
    }
}

impl Slots {
    fn free(&mut self, slot: Slot) {
        match slot {
            Slot::Thread(index) => self.thread.free.push(index),
            Slot::Block(index) => self.block.free.push(index),
        }
    }
}

impl Pool {
    /// The free buffer that fits best: the smallest that is large enough, else the largest, which
    /// grows; a new one if none of the dtype is free.
    fn take(&mut self, room: Room) -> usize {
        let free = self.free.iter().enumerate();
        let alike = free.filter(|(_, index)| self.buffers[**index].dtype == room.dtype);
        let best = alike.min_by_key(|(_, index)| {
            let elements = self.buffers[**index].elements;
            (elements < room.elements, elements.abs_diff(room.elements), **index)
        });
        match best.map(|(at, _)| at) {
            Some(at) => {
                let index = self.free.swap_remove(at);
                let elements = &mut self.buffers[index].elements;
                *elements = room.elements.max(*elements);
                index
            }
            None => {
                self.buffers.push(room);
                self.buffers.len() - 1
            }
        }
    }

    fn free_all(&mut self) {
        self.free = (0..self.buffers.len()).collect();
    }
}

/// The outputs, by number, that the step may write over an input.
fn overwritable(step: &Step, folded: &[Folded]) -> Vec<(usize, ValueId)> {
    match (step.operation, &step.inputs[..]) {
        (Operation::Add, &[a, b]) if a != b => vec![(0, a)],
        (Operation::Folded(index), inputs) => folded[index].sums(inputs).collect(),
        _ => Vec::new(),
    }
}

fn stages(listing: &Listing) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for &(end, reduction) in &listing.reductions {
        match stages.last_mut() {
            Some(stage) if stage.steps.end == end => stage.reductions.push(reduction),
            last => {
                let start = last.map_or(0, |stage| stage.steps.end);
                stages.push(Stage { steps: start..end, reductions: vec![reduction] });
            }
        }
    }
    let start = stages.last().map_or(0, |stage| stage.steps.end);
    stages.push(Stage { steps: start..listing.steps.len(), reductions: Vec::new() });
    stages
}

fn lives(listing: &Listing, stages: &[Stage]) -> Vec<Life> {
    let mut lives: Vec<Life> =
        listing.values.iter().map(|_| Life { last: 0, crosses: false }).collect();
    let mut born = vec![0; lives.len()];
    for (number, stage) in stages.iter().enumerate() {
        for index in stage.steps.clone() {
            let step = &listing.steps[index];
            for input in &step.inputs {
                let life = &mut lives[input.0];
                life.last = index;
                life.crosses |= born[input.0] != number;
            }
            for output in &step.outputs {
                if let Output::Value(output) = output {
                    born[output.0] = number;
                    lives[output.0].last = index;
                }
            }
        }
        for reduction in &stage.reductions {
            lives[reduction.value.0] = Life { last: stage.steps.end - 1, crosses: true };
        }
    }
    lives
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::ir::{Extent, Statistic};

    fn value(elements: usize) -> Value {
        Value { extent: Extent::Image(elements), dtype: DType::F32 }
    }

    /// Runs a plan on numbers in place of buffers: a buffer holds the value that was last written
    /// to it, and a step must find its inputs there.
    fn check(plan: &Plan, slots: &Slots, images: usize) {
        let mut thread = vec![None; slots.thread.buffers.len()];
        let mut block = vec![None; slots.block.buffers.len()];
        for stage in &plan.stages {
            thread.fill(None);
            for step in &plan.steps[stage.steps.clone()] {
                for input in &step.inputs {
                    let found = match plan.places[input.0] {
                        Slot::Thread(index) => thread[index],
                        Slot::Block(index) => block[index],
                    };
                    assert_eq!(found, Some(*input), "{step:?}");
                }
                let Output::Value(output) = step.outputs[0] else { continue };
                let (held, room) = match plan.places[output.0] {
                    Slot::Thread(index) => (&mut thread[index], slots.thread.buffers[index]),
                    Slot::Block(index) => (&mut block[index], slots.block.buffers[index]),
                };
                assert!(plan.values[output.0].len(images) <= room.elements);
                assert!(
                    !step.inputs.iter().any(|input| Some(*input) == *held)
                        || overwritable(step, &plan.folded)
                            .iter()
                            .any(|over| Some(over.1) == *held),
                    "{step:?} overwrites its input"
                );
                *held = Some(output);
            }
            for reduction in &stage.reductions {
                assert!(block.contains(&Some(reduction.value)), "{reduction:?}");
            }
        }
    }

    /// A random program of sums with a reduction here and there.
    fn random(seed: u64) -> Listing {
        let mut state = seed;
        let mut below = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % bound
        };
        let mut listing = Listing::default();
        let mut known = vec![listing.push(Operation::Images, &[], value(1 + below(9)))];
        for _ in 0..60 {
            let recent = known.len().saturating_sub(6);
            let mut pick = || known[recent + below(known.len() - recent)];
            let inputs = [pick(), pick()];
            let sum = listing.push(Operation::Add, &inputs, value(1 + below(9)));
            known.push(sum);
            if below(5) == 0 {
                let norm = crate::program::parameters::NormId(0);
                let statistic = Statistic::Normalizer;
                let reduction = Reduction { statistic, norm, value: sum, parts_of: None };
                listing.reductions.push((listing.steps.len(), reduction));
            }
        }
        listing
    }

    #[test]
    fn no_value_is_overwritten_while_it_is_needed() {
        for seed in 0..200 {
            let mut slots = Slots::default();
            let plans = [seed, seed + 1000].map(|seed| Plan::new(random(seed), 3, &mut slots));
            for plan in &plans {
                check(plan, &slots, 3);
            }
        }
    }

    #[test]
    fn a_chain_takes_two_buffers_and_a_sum_none() {
        let mut listing = Listing::default();
        let mut last = listing.push(Operation::Images, &[], value(7));
        for elements in [5, 9, 2, 9, 1] {
            last = listing.push(Operation::Cast, &[last], value(elements));
        }
        let other = listing.push(Operation::Cast, &[last], value(1));
        listing.push(Operation::Add, &[other, last], value(1));
        let mut slots = Slots::default();
        Plan::new(listing, 2, &mut slots);
        let mut rooms: Vec<usize> = slots.thread.buffers.iter().map(|room| room.elements).collect();
        rooms.sort_unstable();
        assert_eq!(rooms, [10, 18]);
        assert!(slots.block.buffers.is_empty());
    }
}
