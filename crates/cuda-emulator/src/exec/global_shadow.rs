//! Races in global memory between the threads of a launch: for every byte, who wrote and read it
//! last in this launch.
//!
//! Threads of one block are ordered as in shared memory. Blocks are ordered by atomics alone: what a
//! block did before its last atomic operation (or volatile store) comes before what another does
//! after a later atomic operation (or volatile load) of its own. That is how the last of several
//! blocks finds out by a ticket that it may read what the others wrote. Which address the atomics
//! use is not looked at. Cooperative launches, whose blocks run side by side, are not watched.

use super::check::{ATOMIC, WRITE};
use super::hash::Quick;
use super::shadow::{Access, Accessor, Hazard, Who};
use std::collections::HashMap;

/// The global memory that a launch has touched.
#[derive(Debug, Default)]
pub(crate) struct GlobalShadow {
    pages: HashMap<usize, Box<[Cell; PAGE]>, Quick>,
    /// Number of the launch; marks of others are void.
    launch: u32,
    block: u32,
    /// Grows with every atomic operation.
    sequence: u32,
    /// The sequence number of each block's last release.
    released: HashMap<u32, u32, Quick>,
    /// The sequence number of the current block's last acquire.
    acquired: u32,
}

/// The history of one byte.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    write: Mark,
    read: Mark,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    launch: u32,
    block: u32,
    sequence: u32,
    epoch: u32,
    warp_epoch: u32,
    time: u32,
    who: Who,
    atomic: bool,
    site: usize,
}

const PAGE: usize = 256;
/// Beyond 2 MiB of touched memory in one launch the rest is not watched: a byte costs a hundred.
const MOST_PAGES: usize = (2 << 20) / PAGE;

impl GlobalShadow {
    /// Starts a launch.
    pub(crate) fn begin_grid(&mut self) {
        self.launch += 1;
        self.sequence = 0;
        self.released.clear();
        if self.pages.len() >= MOST_PAGES {
            self.pages.clear();
        }
    }

    /// Starts the block of that number.
    pub(crate) fn begin_block(&mut self, block: u32) {
        self.block = block;
        self.acquired = 0;
    }

    /// Notes an access to a live buffer, unless it is a hazard.
    pub(crate) fn check(&mut self, accessor: &Accessor<'_>, access: &Access) -> Result<(), Hazard> {
        let atomic = access.kind & ATOMIC != 0;
        if atomic {
            self.sequence += 1;
            self.acquired = self.sequence;
            if access.kind & WRITE != 0 {
                self.released.insert(self.block, self.sequence);
            }
        }
        let mark = Mark {
            launch: self.launch,
            block: self.block,
            sequence: self.sequence,
            epoch: accessor.epoch,
            warp_epoch: accessor.warp_epoch,
            time: accessor.time,
            who: Who::Thread(accessor.thread),
            atomic,
            site: access.site,
        };
        for byte in access.address..access.address + access.size as usize {
            if self.pages.len() >= MOST_PAGES && !self.pages.contains_key(&(byte / PAGE)) {
                return Ok(());
            }
            let page = self.pages.entry(byte / PAGE);
            let page = page.or_insert_with(|| Box::new([Cell::default(); PAGE]));
            let mut cell = page[byte % PAGE];
            self.check_byte(&mut cell, accessor, access.kind & WRITE != 0, mark)?;
            if let Some(page) = self.pages.get_mut(&(byte / PAGE)) {
                page[byte % PAGE] = cell;
            }
        }
        Ok(())
    }

    fn check_byte(
        &self,
        cell: &mut Cell,
        accessor: &Accessor<'_>,
        writes: bool,
        mark: Mark,
    ) -> Result<(), Hazard> {
        let conflicts =
            |earlier: &Mark| self.conflicts(earlier, accessor) && !(earlier.atomic && mark.atomic);
        if conflicts(&cell.write) {
            let what = if writes {
                "write-after-write race in global memory"
            } else {
                "read-after-write race in global memory"
            };
            return Err(cell.write.hazard(what));
        }
        if writes && conflicts(&cell.read) {
            return Err(cell.read.hazard("write-after-read race in global memory"));
        }
        if writes {
            cell.write = mark;
        }
        if !writes || mark.atomic {
            let read = &cell.read;
            let joined = read.launch == mark.launch
                && read.block == mark.block
                && read.epoch == mark.epoch
                && read.atomic == mark.atomic;
            let who = if joined { read.who.and(accessor.thread) } else { mark.who };
            cell.read = Mark { who, ..mark };
        }
        Ok(())
    }

    /// Whether nothing orders the marked access with one made now by the current block.
    fn conflicts(&self, mark: &Mark, accessor: &Accessor<'_>) -> bool {
        if mark.launch != self.launch {
            return false;
        }
        if mark.block == self.block {
            return mark.who.conflicts((mark.epoch, mark.warp_epoch, mark.time), accessor);
        }
        let released = self.released.get(&mark.block).copied().unwrap_or(0);
        !(released > mark.sequence && self.acquired > released)
    }
}

impl Mark {
    fn hazard(&self, what: &'static str) -> Hazard {
        let other = self.who.describe().map(|who| (format!("{who} {}", self.block), self.site));
        Hazard { what, other }
    }
}
