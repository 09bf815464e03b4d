//! Hazards in shared memory: for every byte, who wrote and read it last, and when.
//!
//! Two accesses by different threads conflict if one of them writes and nothing orders them: no
//! barrier of the block between them, no named barrier at which their warps met, directly or by way
//! of others, and no `__syncwarp` if both are of one warp. Shuffles and matrix products order
//! nothing, as on a device. Mbarriers are not tracked: what they order must be marked as done by
//! the copy engine, or is reported.

use super::check::{ASYNC, ATOMIC, PROXY, WRITE};

/// A load or store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    pub(crate) address: usize,
    pub(crate) size: u32,
    pub(crate) kind: u32,
    /// The code address behind it.
    pub(crate) site: usize,
}

/// Who accesses, and when: barriers of the block and of the thread's warp so far, accesses of the
/// block so far, and up to when the thread's warp knows of each other's accesses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accessor<'a> {
    pub(crate) thread: u32,
    pub(crate) epoch: u32,
    pub(crate) warp_epoch: u32,
    pub(crate) time: u32,
    pub(crate) known: &'a [u32; 32],
}

/// What is wrong with an access, and which earlier one it conflicts with.
#[derive(Debug)]
pub(crate) struct Hazard {
    pub(crate) what: &'static str,
    pub(crate) other: Option<(String, usize)>,
}

/// The shared memory of a worker's current block.
#[derive(Debug, Default)]
pub(crate) struct Shadow {
    dynamic: Vec<Cell>,
    fixed: Vec<Cell>,
    /// Number of the block; cells of other generations were not written by this block.
    generation: u32,
}

/// The history of one byte.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    write: Mark,
    read: Mark,
    generation: u32,
    in_flight: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    /// 0: never.
    epoch: u32,
    warp_epoch: u32,
    time: u32,
    who: Who,
    atomic: bool,
    site: usize,
}

/// The threads that an access is remembered of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Who {
    #[default]
    Nobody,
    Thread(u32),
    /// Several threads of one warp.
    Warp(u32),
    /// Threads of several warps, as a mask.
    Warps(u32),
}

impl Shadow {
    /// Starts a block whose shared memory nobody has written.
    pub(crate) fn begin_block(&mut self, dynamic: usize, fixed: usize) {
        self.dynamic.resize(dynamic, Cell::default());
        self.fixed.resize(fixed, Cell::default());
        self.generation += 1;
    }

    /// Notes an access, which lies inside the memory, unless it is a hazard.
    pub(crate) fn check(
        &mut self,
        accessor: &Accessor<'_>,
        dynamic: bool,
        offset: usize,
        access: &Access,
    ) -> Result<(), Hazard> {
        let cells = if dynamic { &mut self.dynamic } else { &mut self.fixed };
        let generation = self.generation;
        let mut cells = cells[offset..offset + access.size as usize].iter_mut();
        cells.try_for_each(|cell| cell.check(generation, accessor, access))
    }
}

impl Cell {
    fn check(
        &mut self,
        generation: u32,
        accessor: &Accessor<'_>,
        access: &Access,
    ) -> Result<(), Hazard> {
        let (writes, atomic) = (access.kind & WRITE != 0, access.kind & ATOMIC != 0);
        if self.generation != generation {
            if !writes {
                let what = "read of shared memory that no thread of the block has written";
                return Err(Hazard { what, other: None });
            }
            *self = Self { generation, ..Self::default() };
        }
        if self.in_flight && !writes {
            let what = "read of shared memory that an asynchronous copy is still filling";
            return Err(self.write.hazard(what));
        }
        if access.kind & PROXY != 0 {
            *self = Self { generation, in_flight: access.kind & ASYNC != 0, ..Self::default() };
            return Ok(());
        }
        let conflicts = |mark: &Mark| mark.conflicts(accessor) && !(mark.atomic && atomic);
        if conflicts(&self.write) {
            let what = if writes { "write-after-write race" } else { "read-after-write race" };
            return Err(self.write.hazard(what));
        }
        if writes && conflicts(&self.read) {
            return Err(self.read.hazard("write-after-read race"));
        }
        let mark = Mark {
            epoch: accessor.epoch,
            warp_epoch: accessor.warp_epoch,
            time: accessor.time,
            who: Who::Thread(accessor.thread),
            atomic,
            site: access.site,
        };
        if writes {
            self.write = mark;
            self.in_flight = access.kind & ASYNC != 0;
        }
        if !writes || atomic {
            self.read = if self.read.epoch == accessor.epoch {
                Mark { who: self.read.who.and(accessor.thread), ..mark }
            } else {
                mark
            };
        }
        Ok(())
    }
}

impl Mark {
    /// Whether nothing orders the marked access with one made now.
    fn conflicts(&self, accessor: &Accessor<'_>) -> bool {
        self.who.conflicts((self.epoch, self.warp_epoch, self.time), accessor)
    }

    fn hazard(&self, what: &'static str) -> Hazard {
        let who = self.who.describe();
        Hazard { what, other: who.map(|who| (who.replace("of block", "of the block"), self.site)) }
    }
}

impl Who {
    /// Whether nothing orders what these did with an access made now in the same block. `when`: the
    /// barriers of the block and of the warp before it, and its time.
    pub(crate) fn conflicts(self, when: (u32, u32, u32), accessor: &Accessor<'_>) -> bool {
        let (epoch, warp_epoch, time) = when;
        if epoch != accessor.epoch {
            return false;
        }
        let met = |warp: u32| accessor.known[warp as usize] >= time;
        let ordered =
            |warp| met(warp) || (warp == accessor.thread / 32 && warp_epoch != accessor.warp_epoch);
        match self {
            Self::Nobody => false,
            Self::Thread(thread) => thread != accessor.thread && !ordered(thread / 32),
            Self::Warp(warp) => !ordered(warp),
            Self::Warps(warps) => (0..32).any(|warp| warps >> warp & 1 == 1 && !met(warp)),
        }
    }

    /// In words that end with "of block".
    pub(crate) fn describe(self) -> Option<String> {
        match self {
            Self::Nobody => None,
            Self::Thread(thread) => Some(format!("thread {thread} of block")),
            Self::Warp(warp) => Some(format!("several lanes of warp {warp} of block")),
            Self::Warps(_) => Some("several warps of block".into()),
        }
    }

    /// These and another thread.
    pub(crate) fn and(self, thread: u32) -> Self {
        let warp = thread / 32;
        match self {
            Self::Nobody => Self::Thread(thread),
            Self::Thread(known) if known == thread => self,
            Self::Thread(known) if known / 32 == warp => Self::Warp(warp),
            Self::Thread(known) => Self::Warps(1 << (known / 32) | 1 << warp),
            Self::Warp(known) if known == warp => self,
            Self::Warp(known) => Self::Warps(1 << known | 1 << warp),
            Self::Warps(known) => Self::Warps(known | 1 << warp),
        }
    }
}
