use std::ops::Range;

use rayon::prelude::*;

use super::scratch::{Slot, with_values};
use super::{Cpu, Threads};

/// Below this many elements of output a hand-over to another thread costs more than it saves.
const SMALLEST_SHARE: usize = 8 * 1024;

impl Cpu {
    /// Runs `body(first_item, items)` over the whole of `output`, cut into runs of items of
    /// `item` elements each; the runs go to the threads. `body` must compute every item from its
    /// index alone, so that the cut does not show in the result.
    pub(crate) fn chunks<T: Send>(
        &self,
        output: &mut [T],
        item: usize,
        body: impl Fn(usize, &mut [T]) + Send + Sync,
    ) {
        self.weighted_chunks(output, item, item, body);
    }

    /// [`Cpu::chunks`] of items that take as long as `work` elements of an element-wise operation.
    pub(crate) fn weighted_chunks<T: Send>(
        &self,
        output: &mut [T],
        item: usize,
        work: usize,
        body: impl Fn(usize, &mut [T]) + Send + Sync,
    ) {
        let threads = self.thread_count();
        let total = output.len() / item.max(1) * work;
        if threads == 1 || total <= SMALLEST_SHARE {
            return body(0, output);
        }
        let share = (total / (4 * threads)).max(SMALLEST_SHARE).div_ceil(work);
        self.install(|| {
            output
                .par_chunks_mut(share * item)
                .enumerate()
                .for_each(|(index, items)| body(index * share, items));
        });
    }

    /// Adds `body`'s sums over `items` to `total`, cut into blocks of `block` items that do not
    /// depend on the threads: the same bits with any number of them. A single block adds to
    /// `total` itself; several add to zeroed sums of their own, which are then added up in order.
    pub(crate) fn sum_blocks(
        &self,
        items: usize,
        block: usize,
        total: &mut [f32],
        body: impl Fn(Range<usize>, &mut [f32]) + Send + Sync,
    ) {
        let blocks = items.div_ceil(block);
        if blocks <= 1 {
            return body(0..items, total);
        }
        let length = total.len();
        let mut add = |partial: &[f32]| {
            for (total, partial) in total.iter_mut().zip(partial) {
                *total += partial;
            }
        };
        if self.thread_count() > 1 {
            return self.each_block(items, block, length, body, |partials| {
                partials.chunks_exact(length).for_each(add);
            });
        }
        with_values(Slot::Sums, length, |partial| {
            for index in 0..blocks {
                partial.fill(0.0);
                body(nth_block(index, items, block), partial);
                add(partial);
            }
        });
    }

    /// Gives each block of `block` items `length` zeros to put its results into, and all of them
    /// in the order of the blocks to `then`.
    pub(crate) fn each_block<R>(
        &self,
        items: usize,
        block: usize,
        length: usize,
        body: impl Fn(Range<usize>, &mut [f32]) + Send + Sync,
        then: impl FnOnce(&[f32]) -> R,
    ) -> R {
        let blocks = items.div_ceil(block);
        let body = |index, result: &mut [f32]| body(nth_block(index, items, block), result);
        with_values(Slot::Sums, blocks * length, |results| {
            results.fill(0.0);
            if self.thread_count() == 1 || blocks <= 1 {
                let results = results.chunks_exact_mut(length).enumerate();
                results.for_each(|(index, result)| body(index, result));
            } else {
                self.install(|| {
                    let results = results.par_chunks_exact_mut(length).enumerate();
                    results.for_each(|(index, result)| body(index, result));
                });
            }
            then(results)
        })
    }

    /// Calls `then` with what `body` makes of each block of `block` items, in the order of the blocks.
    pub(crate) fn map_blocks<R: Send>(
        &self,
        items: usize,
        block: usize,
        body: impl Fn(Range<usize>) -> R + Send + Sync,
        then: impl FnMut(R),
    ) {
        let blocks = items.div_ceil(block);
        let body = |index| body(nth_block(index, items, block));
        if self.thread_count() == 1 || blocks <= 1 {
            return (0..blocks).map(body).for_each(then);
        }
        let made: Vec<R> = self.install(|| (0..blocks).into_par_iter().map(body).collect());
        made.into_iter().for_each(then);
    }

    /// [`Cpu::map_blocks`] of `body(index, elements)` and the elements of `output`, `len` to a block.
    pub(crate) fn map_chunks<T: Send, R: Send>(
        &self,
        output: &mut [T],
        len: usize,
        body: impl Fn(usize, &mut [T]) -> R + Send + Sync,
        then: impl FnMut(R),
    ) {
        let body = |(index, elements): (usize, &mut [T])| body(index, elements);
        if self.thread_count() == 1 || output.len() <= len {
            return output.chunks_mut(len).enumerate().map(body).for_each(then);
        }
        let made: Vec<R> =
            self.install(|| output.par_chunks_mut(len).enumerate().map(body).collect());
        made.into_iter().for_each(then);
    }

    /// How many threads operations use.
    pub fn thread_count(&self) -> usize {
        match &self.threads {
            Threads::One => 1,
            Threads::Global => rayon::current_num_threads(),
            Threads::Own(pool) => pool.current_num_threads(),
        }
    }

    /// Runs `body` where what it hands out goes to this backend's threads.
    pub(super) fn install<R: Send>(&self, body: impl FnOnce() -> R + Send) -> R {
        match &self.threads {
            Threads::Own(pool) => pool.install(body),
            Threads::One | Threads::Global => body(),
        }
    }
}

fn nth_block(index: usize, items: usize, block: usize) -> Range<usize> {
    index * block..items.min((index + 1) * block)
}
