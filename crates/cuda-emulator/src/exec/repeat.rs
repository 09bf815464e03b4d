//! Launches executed again in other orders of blocks and threads, which must not change a byte.

use super::{Failure, Grid, options, run_once};
use crate::emulator::emulator;
use crate::options::Order;
use crate::records::Counters;
use crate::status::Status;

/// Executes a grid, and again as often as the options say. Ends early with the first failure.
pub(crate) fn run(grid: &Grid) -> Result<Counters, Failure> {
    let options = options();
    if options.repeats == 0 {
        return run_once(grid, options.thread_order);
    }
    let memory = &emulator().memory;
    let before = memory.snapshot(grid.device);
    let counters = run_once(grid, options.thread_order)?;
    let after = memory.snapshot(grid.device);
    for repeat in 1..=options.repeats {
        memory.restore(&before);
        run_once(grid, Order::Shuffled(u64::from(repeat)))?;
        if let Some(difference) = memory.difference(&after) {
            let kernel = &grid.function.name;
            return Err(Failure {
                status: Status::LAUNCH_FAILED,
                kernel: Some(kernel.clone()),
                text: format!(
                    "the result depends on the order of blocks and threads: {difference} in \
                     order {repeat}; kernel {kernel}"
                ),
            });
        }
    }
    Ok(counters)
}

/// The block that begins at a turn, of `count` blocks: their multiples of a number that shares no
/// factor with `count` are all of them, in another order.
pub(super) fn block_at(order: Order, turn: u64, count: u64) -> u64 {
    let Order::Shuffled(seed) = order else { return turn };
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let step = (mixed % count..).find(|&step| common_factor(step, count) == 1).unwrap_or(1);
    let place = u128::from(turn) * u128::from(step) + u128::from(mixed >> 32);
    (place % u128::from(count)) as u64
}

fn common_factor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_factor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::{Order, block_at};

    #[test]
    fn every_block_has_one_turn() {
        for count in (1..200).chain([4096, 65_537]) {
            for order in [Order::Ascending, Order::Shuffled(1), Order::Shuffled(2)] {
                let mut blocks: Vec<_> = (0..count).map(|n| block_at(order, n, count)).collect();
                let ascending = blocks.is_sorted();
                assert!(ascending == (order == Order::Ascending) || count < 5, "{count}");
                blocks.sort_unstable();
                assert!(blocks.into_iter().eq(0..count), "{count} {order:?}");
            }
        }
    }
}
