//! Memory that a thread keeps for the inside of an operation, so that none is allocated in a loop.

use std::cell::RefCell;

use super::Buffer;
use super::simd::MAX_LANES;
use crate::{DType, Result};

/// Words past the end of a scratch that may be read: a tile's vectors reach over the last row.
const SLACK: usize = 8 * MAX_LANES;

/// Which of a thread's scratches; those that an operation uses at once must differ.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    Image,
    WovenImage,
    Map,
    MatrixA,
    MatrixB,
    MatrixRows,
    Planes,
    Sums,
}

const SLOTS: usize = Slot::Sums as usize + 1;

/// The scratches of a thread.
pub(super) struct Scratch([Vec<u32>; SLOTS]);

/// How many words of each scratch a pass takes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand([usize; SLOTS]);

impl Demand {
    /// That of so many words of a slot.
    pub(super) fn of(slot: Slot, words: usize) -> Self {
        let mut demand = Demand::default();
        demand.0[slot as usize] = words;
        demand
    }

    /// What serves both, at once if they take different slots, in turn otherwise.
    pub(super) fn and(self, other: Demand) -> Self {
        Demand(std::array::from_fn(|slot| self.0[slot].max(other.0[slot])))
    }

    /// What a thread keeps for it, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let taken = self.0.iter().filter(|words| **words > 0);
        size_of::<u32>() * taken.map(|words| words + SLACK).sum::<usize>()
    }
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
    static BUFFERS: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

impl Scratch {
    const fn new() -> Self {
        Scratch([const { Vec::new() }; SLOTS])
    }

    /// At least `words` words with anything in them; [`SLACK`] more may be read. The address holds
    /// until the slot is asked for again.
    #[inline]
    pub(super) fn words(&mut self, slot: Slot, words: usize) -> &mut [u32] {
        let [scratch] = self.disjoint([(slot, words)]);
        scratch
    }

    /// As [`Scratch::words`] for several slots, which must differ.
    #[inline]
    pub(super) fn disjoint<const N: usize>(
        &mut self,
        slots: [(Slot, usize); N],
    ) -> [&mut [u32]; N] {
        slots.into_iter().for_each(|(slot, words)| grow(&mut self.0[slot as usize], words));
        let all = self.0.get_disjoint_mut(slots.map(|(slot, _)| slot as usize));
        all.expect("the slots of one operation differ").map(Vec::as_mut_slice)
    }
}

fn grow(scratch: &mut Vec<u32>, words: usize) {
    if scratch.len() < words + SLACK {
        // The smaller one goes first, so that a thread never has both.
        *scratch = Vec::new();
        *scratch = vec![0; words + SLACK];
    }
}

/// Lends this thread's scratches.
#[inline]
pub(super) fn with_scratch<R>(body: impl FnOnce(&mut Scratch) -> R) -> R {
    let mut scratch = SCRATCH.replace(Scratch::new());
    let result = body(&mut scratch);
    SCRATCH.set(scratch);
    result
}

/// Lends `count` values of one of this thread's scratches, with anything in them. What runs
/// meanwhile has the others.
pub(super) fn with_values<R>(slot: Slot, count: usize, body: impl FnOnce(&mut [f32]) -> R) -> R {
    let take = |all: &mut Scratch| std::mem::take(&mut all.0[slot as usize]);
    let mut scratch = SCRATCH.with_borrow_mut(take);
    grow(&mut scratch, count);
    let result = body(&mut bytemuck::cast_slice_mut(&mut scratch)[..count]);
    SCRATCH.with_borrow_mut(|all| all.0[slot as usize] = scratch);
    result
}

/// Lends this thread's buffers, made to have these dtypes and at least these elements, as they were
/// left: what one operation leaves to the next inside another.
pub(super) fn with_buffers<const N: usize>(
    wanted: [(DType, usize); N],
    zeros: impl Fn(DType, usize) -> Result<Buffer>,
    body: impl FnOnce([&mut Buffer; N]) -> Result<()>,
) -> Result<()> {
    let mut buffers = BUFFERS.take();
    let outcome = wanted.into_iter().enumerate().try_for_each(|(index, (dtype, len))| {
        match buffers.get_mut(index) {
            Some(buffer) if buffer.dtype() == dtype && buffer.capacity() >= len => {}
            Some(buffer) => {
                *buffer = zeros(dtype, 0)?;
                *buffer = zeros(dtype, len)?;
            }
            None => buffers.push(zeros(dtype, len)?),
        }
        Ok(())
    });
    let outcome = outcome.and_then(|()| {
        let lent = buffers.get_disjoint_mut(std::array::from_fn(|index| index));
        body(lent.expect("a buffer for each that is wanted"))
    });
    BUFFERS.set(buffers);
    outcome
}
