//! Counters of a launch. Threads of a warp run one after another here, so the lanes of a warp
//! instruction are put together again: the n-th time that each lane comes by a source instruction
//! between two barriers is taken for one.

use super::hash::Quick;
use crate::records::Counters;
use std::collections::{HashMap, HashSet, VecDeque};

/// One thread's access; an offset takes the place of the address in shared memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) address: usize,
    pub(crate) size: u32,
    pub(crate) write: bool,
    pub(crate) shared: bool,
    /// The code address behind it.
    pub(crate) site: usize,
}

/// Counters of one worker or of several.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    counters: Counters,
    /// Sectors of global memory that were read, and written.
    read: HashSet<usize, Quick>,
    written: HashSet<usize, Quick>,
}

/// Counts what the blocks of a worker do.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    total: Counts,
    /// Bank conflicts by code address.
    conflicts: HashMap<usize, u64, Quick>,
    instructions: HashMap<(u32, usize), Instruction, Quick>,
}

/// The executions of an instruction by one warp that some lanes have not come to yet.
#[derive(Debug, Default)]
struct Instruction {
    /// Executions that are complete.
    done: u32,
    /// Executions that each lane has come to.
    lanes: [u32; 32],
    pending: VecDeque<Execution>,
}

#[derive(Debug, Clone, Copy)]
struct Execution {
    addresses: [usize; 32],
    mask: u32,
    size: u32,
    write: bool,
    shared: bool,
}

const BANKS: usize = 32;
const WORD: usize = 4;
const SECTOR: usize = 32;
const MMA: u32 = 0;
const MULTIPLY_ADDS: u32 = 1;
const GLOBAL_READ: u32 = 2;

impl Counters {
    /// Adds what other threads of the launch did.
    fn add(&mut self, other: &Self) {
        self.mma += other.mma;
        self.mma_multiply_adds += other.mma_multiply_adds;
        self.global_bytes_read += other.global_bytes_read;
        self.global_bytes_written += other.global_bytes_written;
        self.global_sectors_read += other.global_sectors_read;
        self.global_sectors_written += other.global_sectors_written;
        self.shared_passes += other.shared_passes;
        self.shared_bank_conflicts += other.shared_bank_conflicts;
        for i in 0..self.global_widths.len() {
            self.global_widths[i] += other.global_widths[i];
            self.shared_widths[i] += other.shared_widths[i];
        }
        for (line, count) in &other.bank_conflict_lines {
            *self.bank_conflict_lines.entry(line.clone()).or_default() += count;
        }
    }
}

impl Counts {
    /// Adds what another worker counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.counters.add(&other.counters);
        self.read.extend(other.read);
        self.written.extend(other.written);
    }

    /// The counters of the launch.
    pub(crate) fn finish(mut self) -> Counters {
        self.counters.global_distinct_sectors_read = self.read.len() as u64;
        self.counters.global_distinct_sectors_written = self.written.len() as u64;
        self.counters
    }
}

impl Counter {
    /// Starts at zero.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The counts so far, which start at zero again. `line` gives the source of a code address.
    pub(crate) fn take(&mut self, line: impl Fn(usize) -> String) -> Counts {
        self.flush();
        let mut total = std::mem::take(&mut self.total);
        for (site, count) in self.conflicts.drain() {
            *total.counters.bank_conflict_lines.entry(line(site)).or_default() += count;
        }
        total
    }

    /// Counts an event by the number that the shim gives it.
    pub(crate) fn tally(&mut self, what: u32, amount: u64) {
        match what {
            MMA => self.total.counters.mma += amount,
            MULTIPLY_ADDS => self.total.counters.mma_multiply_adds += amount,
            GLOBAL_READ => {
                self.total.counters.global_bytes_read += amount;
                self.total.counters.global_sectors_read += amount.div_ceil(SECTOR as u64);
            }
            _ => {}
        }
    }

    /// Counts an access of a thread whose warp has these live lanes.
    pub(crate) fn add(&mut self, thread: u32, live: u32, sample: &Sample) {
        let Sample { address, size, write, shared, site } = *sample;
        let width = size.next_power_of_two().trailing_zeros().min(4) as usize;
        let pieces = u64::from(size.div_ceil(16));
        if shared {
            self.total.counters.shared_widths[width] += pieces;
        } else {
            self.total.counters.global_widths[width] += pieces;
            match write {
                true => self.total.counters.global_bytes_written += u64::from(size),
                false => self.total.counters.global_bytes_read += u64::from(size),
            }
        }
        // An instruction may do several kinds of access: a copy reads and writes.
        let kind = usize::from(write) | usize::from(shared) << 1;
        let key = (thread / 32, site << 2 | kind);
        let instruction = self.instructions.entry(key).or_default();
        let lane = (thread % 32) as usize;
        let turn = instruction.lanes[lane].wrapping_sub(instruction.done) as usize;
        instruction.lanes[lane] += 1;
        while instruction.pending.len() <= turn {
            let addresses = [0; 32];
            instruction.pending.push_back(Execution { addresses, mask: 0, size, write, shared });
        }
        let execution = &mut instruction.pending[turn];
        execution.addresses[lane] = address;
        execution.mask |= 1 << lane;
        while let Some(first) = instruction.pending.front()
            && first.mask & live == live
        {
            let conflicts = first.count(&mut self.total);
            if conflicts > 0 {
                *self.conflicts.entry(site).or_default() += conflicts;
            }
            instruction.pending.pop_front();
            instruction.done += 1;
        }
    }

    /// Counts executions to which no further lanes can come.
    pub(crate) fn flush(&mut self) {
        for ((_, key), instruction) in &mut self.instructions {
            for execution in instruction.pending.drain(..) {
                let conflicts = execution.count(&mut self.total);
                if conflicts > 0 {
                    *self.conflicts.entry(key >> 2).or_default() += conflicts;
                }
            }
            instruction.done = 0;
            instruction.lanes = [0; 32];
        }
    }
}

impl Execution {
    /// Adds to the counters; gives the bank conflicts.
    fn count(&self, total: &mut Counts) -> u64 {
        let counters = &mut total.counters;
        match (self.shared, self.write) {
            (true, _) => {
                let (passes, least) = self.passes();
                counters.shared_passes += passes;
                counters.shared_bank_conflicts += passes - least;
                return passes - least;
            }
            (false, true) => {
                let sectors = self.sectors();
                counters.global_sectors_written += sectors.len() as u64;
                total.written.extend(sectors);
            }
            (false, false) => {
                let sectors = self.sectors();
                counters.global_sectors_read += sectors.len() as u64;
                total.read.extend(sectors);
            }
        }
        0
    }

    fn active(&self) -> impl Iterator<Item = usize> {
        let mask = self.mask;
        (0..32).filter(move |lane| mask >> lane & 1 == 1)
    }

    /// Sectors that the lanes touch together.
    fn sectors(&self) -> Vec<usize> {
        let size = self.size as usize;
        let of = |lane: usize| {
            let address = self.addresses[lane];
            address / SECTOR..(address + size).div_ceil(SECTOR)
        };
        let mut sectors: Vec<usize> = self.active().flat_map(of).collect();
        sectors.sort_unstable();
        sectors.dedup();
        sectors
    }

    /// Passes over the banks, and how many there would be without conflicts. Wide accesses are
    /// done by half or quarter warps; in a pass a bank gives one word, to all lanes that want it.
    fn passes(&self) -> (u64, u64) {
        let size = self.size as usize;
        let lanes_at_once = (BANKS * WORD / size.max(WORD)).max(1);
        let (mut passes, mut least) = (0, 0);
        for start in (0..32).step_by(lanes_at_once) {
            let group = self.active().filter(|lane| (start..start + lanes_at_once).contains(lane));
            let words_of = |lane: usize| {
                let address = self.addresses[lane];
                address / WORD..(address + size).div_ceil(WORD)
            };
            let mut words: Vec<usize> = group.flat_map(words_of).collect();
            words.sort_unstable();
            words.dedup();
            let mut banks = [0u64; BANKS];
            words.iter().for_each(|word| banks[word % BANKS] += 1);
            let most = banks.into_iter().max().unwrap_or(0);
            passes += most;
            least += most.min(1);
        }
        (passes, least)
    }
}

#[cfg(test)]
mod tests {
    use super::{Counter, Sample};
    use crate::records::Counters;

    /// Counts one access by each lane of a warp.
    fn warp(size: u32, shared: bool, address: impl Fn(usize) -> usize) -> Counters {
        let mut counter = Counter::default();
        for lane in 0..32 {
            let sample = Sample { address: address(lane), size, write: false, shared, site: 64 };
            counter.add(lane as u32, u32::MAX, &sample);
        }
        counter.take(|site| site.to_string()).finish()
    }

    #[test]
    fn banks_conflict_when_lanes_want_different_words_of_one() {
        let passes = |size, address: fn(usize) -> usize| {
            let counters = warp(size, true, address);
            (counters.shared_passes, counters.shared_bank_conflicts)
        };
        assert_eq!(passes(4, |lane| 4 * lane), (1, 0));
        assert_eq!(passes(4, |_| 100), (1, 0), "one word for all");
        assert_eq!(passes(4, |lane| 8 * lane), (2, 1));
        assert_eq!(passes(4, |lane| 128 * lane), (32, 31));
        assert_eq!(passes(2, |lane| 2 * lane), (1, 0));
        assert_eq!(passes(8, |lane| 8 * lane), (2, 0));
        assert_eq!(passes(16, |lane| 16 * lane), (4, 0));
        assert_eq!(passes(16, |lane| 80 * lane), (4, 0), "rows of an odd number of 16 bytes");
        assert_eq!(passes(16, |lane| 64 * lane), (16, 12), "rows of four times 16 bytes");
        let lines = warp(16, true, |lane| 64 * lane).bank_conflict_lines;
        assert_eq!(lines.into_iter().collect::<Vec<_>>(), [("64".to_string(), 12)]);
    }

    #[test]
    fn sectors_are_counted_once_a_warp() {
        assert_eq!(warp(4, false, |lane| 4 * lane).global_sectors_read, 4);
        assert_eq!(warp(4, false, |lane| 4 * lane + 16).global_sectors_read, 5);
        assert_eq!(warp(16, false, |lane| 64 * lane).global_sectors_read, 32);
        assert_eq!(warp(4, false, |lane| 4 * lane).global_bytes_read, 128);
        assert_eq!(warp(4, false, |lane| 4 * lane).global_widths, [0, 0, 32, 0, 0]);
    }

    #[test]
    fn executions_are_told_apart_while_lanes_run_one_after_another() {
        let mut counter = Counter::default();
        for lane in 0..32usize {
            for turn in 0..3 {
                let address = 4 * lane + 128 * turn;
                let sample = Sample { address, size: 4, write: true, shared: true, site: 8 };
                counter.add(lane as u32, u32::MAX, &sample);
            }
        }
        assert_eq!(counter.take(|site| site.to_string()).finish().shared_passes, 3);
    }
}
