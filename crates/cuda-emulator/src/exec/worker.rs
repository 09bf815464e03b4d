//! One CPU thread's machinery for executing blocks: the CUDA threads of the current block, which
//! of them can go on, and where each of them is parked.

use super::check::Checker;
use super::fault::SignalStack;
use super::fiber::{self, Mapping, Stacks};
use super::{Failure, Grid};
use crate::options::{Options, Order};
use std::ffi::c_void;
use std::time::Instant;

/// The block as kernels see it; `struct __emu_block` in the shim.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) index: [u32; 3],
    pub(crate) dimensions: [u32; 3],
    pub(crate) grid: [u32; 3],
    pub(crate) shared_bytes: u32,
    pub(crate) shared: *mut u8,
    /// The shim's: copies of the block that are in flight.
    pub(crate) user: *mut c_void,
    /// True predicates at the last barrier of the whole block.
    pub(crate) predicates: u32,
}

/// A CUDA thread as kernels see it, one cache line; `struct __emu_thread` in the shim.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) index: [u32; 3],
    pub(crate) lane: u32,
    pub(crate) block: *const Block,
    pub(crate) linear: u32,
    pub(crate) warp: u32,
    /// The shim's: copies of the thread that are in flight.
    pub(crate) user: *mut c_void,
    /// Where a parked thread continues. The entry stubs know the offsets of this and the next.
    pub(crate) sp: usize,
    pub(crate) worker: *mut Worker,
    pub(crate) stack: u32,
}

const _: () = assert!(size_of::<Thread>() == 64);

/// What a parked thread waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Wait {
    Nothing,
    Barrier(u32),
    Warp(u32),
    Yield,
}

/// What only reports and checks need to know of a thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cold {
    pub(crate) wait: Wait,
    /// The code address from which it waits.
    pub(crate) site: usize,
    /// The global buffer that it touched last: first byte, byte behind the last.
    pub(crate) buffer: (usize, usize),
}

/// A warp collective that waits for lanes.
#[derive(Default, Clone, Copy, Debug)]
pub(crate) struct Gathering {
    pub(crate) mask: u32,
    pub(crate) arrived: u32,
    /// Address of the collective's function.
    pub(crate) operation: usize,
}

/// The lanes of a warp and what they wait for.
#[derive(Debug)]
pub(crate) struct Warp {
    /// Lanes that were parked and can go on.
    pub(crate) ready: u32,
    /// Lanes that have not started.
    pub(crate) fresh: u32,
    /// Lanes that have not exited.
    pub(crate) live: u32,
    pub(crate) gatherings: [Gathering; 4],
    pub(crate) gathering_count: usize,
    pub(crate) inputs: [*const c_void; 32],
    pub(crate) outputs: [*mut c_void; 32],
    /// Grows with every `__syncwarp`.
    pub(crate) epoch: u32,
}

/// A barrier of the block and the lanes that wait at it.
#[derive(Default, Clone, Copy, Debug)]
pub(crate) struct Barrier {
    pub(crate) arrived: u32,
    pub(crate) predicates: u32,
    pub(crate) waiting: [u32; 32],
}

/// The sixteen barriers of the hardware, and the one of the grid.
pub(crate) const BARRIERS: usize = 17;
/// Most threads of a block.
pub(crate) const MAX_THREADS: usize = 1024;
/// Most shared memory of a block on any device: 227 KiB.
pub(crate) const MAX_SHARED: usize = 227 << 10;

/// All that is needed to execute one block after another on one thread of the CPU.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Worker {
    /// The context of `run_block`; first, as the entry stubs load it.
    pub(crate) main_sp: usize,
    pub(crate) block: Block,
    pub(crate) threads: Vec<Thread>,
    pub(crate) cold: Vec<Cold>,
    pub(crate) warps: Vec<Warp>,
    /// Warps with lanes that may be ready or fresh.
    pub(crate) ready_warps: u32,
    current_warp: u32,
    /// The running thread.
    pub(crate) current: u32,
    pub(crate) stacks: Stacks,
    pub(crate) free_stacks: Vec<u32>,
    /// Threads of the block that have not exited.
    pub(crate) alive: u32,
    pub(crate) barriers: Box<[Barrier; BARRIERS]>,
    /// Grows with every barrier of the whole block.
    pub(crate) epoch: u32,
    pub(crate) grid: *const Grid,
    /// Where the kernel's arguments lie.
    pub(crate) arguments: Vec<*mut c_void>,
    pub(crate) failure: Option<Failure>,
    shared: Mapping,
    /// This CPU thread's copy of the module's `__shared__` variables: address and size.
    pub(crate) static_shared: (usize, usize),
    pub(crate) checker: Checker,
    /// The stack on which faults of kernels are turned into failures.
    pub(crate) landing: Mapping,
    _signals: SignalStack,
    pub(crate) spins: u64,
    pub(crate) started: Instant,
    order: Order,
    random: u64,
}

impl Worker {
    /// Maps stacks and shared memory.
    pub(crate) fn new(options: &Options) -> std::io::Result<Box<Self>> {
        let stacks = Stacks::new(MAX_THREADS, options.stack)?;
        Ok(Box::new(Self {
            main_sp: 0,
            block: Block {
                index: [0; 3],
                dimensions: [0; 3],
                grid: [0; 3],
                shared_bytes: 0,
                shared: std::ptr::null_mut(),
                user: std::ptr::null_mut(),
                predicates: 0,
            },
            threads: Vec::with_capacity(MAX_THREADS),
            cold: Vec::new(),
            warps: Vec::new(),
            ready_warps: 0,
            current_warp: 0,
            current: 0,
            free_stacks: (0..stacks.count as u32).rev().collect(),
            stacks,
            alive: 0,
            barriers: Box::new([Barrier::default(); BARRIERS]),
            epoch: 1,
            grid: std::ptr::null(),
            arguments: Vec::new(),
            failure: None,
            shared: Mapping::new(MAX_SHARED)?,
            static_shared: (0, 0),
            checker: Checker::new(options),
            landing: Mapping::new(64 << 10)?,
            _signals: SignalStack::new()?,
            spins: 0,
            started: Instant::now(),
            order: Order::Ascending,
            random: 1,
        }))
    }

    /// Lays out the threads of the grid's blocks, which go on in that order.
    pub(crate) fn begin_grid(&mut self, grid: &Grid, order: Order) {
        self.order = order;
        self.grid = grid;
        self.block.dimensions = grid.block;
        self.block.grid = grid.grid;
        self.block.shared_bytes = grid.shared;
        // Right-aligned to the guard page, but for the alignment that swizzled layouts need.
        let alignment = if grid.shared > 4096 { 1024 } else { 128 };
        let room = (grid.shared as usize).next_multiple_of(alignment);
        self.block.shared = (self.shared.start + self.shared.length - room) as *mut u8;
        let [x, y, z] = grid.block;
        let count = x * y * z;
        let (block, worker): (*const Block, *mut Worker) = (&raw const self.block, self);
        self.threads.clear();
        self.threads.extend((0..count).map(|i| Thread {
            index: [i % x, i / x % y, i / (x * y)],
            lane: i & 31,
            block,
            linear: i,
            warp: i >> 5,
            user: std::ptr::null_mut(),
            sp: 0,
            worker,
            stack: u32::MAX,
        }));
        self.cold.clear();
        self.cold.resize(count as usize, Cold { wait: Wait::Nothing, site: 0, buffer: (0, 0) });
        self.warps.clear();
        self.warps.extend((0..count.div_ceil(32)).map(|_| Warp {
            ready: 0,
            fresh: 0,
            live: 0,
            gatherings: Default::default(),
            gathering_count: 0,
            inputs: [std::ptr::null(); 32],
            outputs: [std::ptr::null_mut(); 32],
            epoch: 1,
        }));
        self.arguments = grid.arguments.pointers();
        self.static_shared = grid.function.module.shared_variables();
        self.failure = None;
        self.started = Instant::now();
        self.checker.begin_grid(grid);
    }

    /// Makes every thread of the block of that index fresh.
    pub(crate) fn begin_block(&mut self, index: [u32; 3]) {
        self.block.index = index;
        let count = self.threads.len() as u32;
        self.alive = count;
        self.current_warp = 0;
        self.spins = 0;
        self.ready_warps = lanes(self.warps.len() as u32);
        for (i, warp) in self.warps.iter_mut().enumerate() {
            let all = lanes((count - i as u32 * 32).min(32));
            (warp.ready, warp.fresh, warp.live, warp.gathering_count) = (0, all, all, 0);
        }
        self.barriers.fill(Barrier::default());
        self.epoch += 1;
        if let Order::Shuffled(seed) = self.order {
            // By block, so that the number of workers does not matter.
            let [x, y, z] = index.map(u64::from);
            let block = (z << 42) ^ (y << 21) ^ x;
            self.random = (seed ^ block.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1;
        }
        let (start, length) = self.static_shared;
        // SAFETY: both ranges are this worker's shared memory, and no thread of a block runs.
        // Unwritten shared memory reads as NaN, and as -1.
        unsafe {
            self.block.shared.write_bytes(0xff, self.block.shared_bytes as usize);
            if length > 0 {
                (start as *mut u8).write_bytes(0xff, length);
            }
        }
        let [x, y, _] = self.block.grid;
        let number = (index[2].wrapping_mul(y) + index[1]).wrapping_mul(x) + index[0];
        self.checker.begin_block(number, self.block.shared_bytes as usize, length);
    }

    /// The stack pointer of the next thread that can go on, or of `run_block` if there is none.
    /// `fair` prefers threads other than the current one.
    pub(crate) fn next_sp(&mut self, fair: bool) -> usize {
        let Some((i, fresh)) = self.pick(fair) else { return self.main_sp };
        if !fresh {
            return self.threads[i].sp;
        }
        // A block has at most as many threads as there are stacks.
        let Some(stack) = self.free_stacks.pop() else { return self.main_sp };
        self.threads[i].stack = stack;
        let worker: *mut Worker = self;
        // SAFETY: the stack is free and its top is a multiple of 64.
        unsafe {
            fiber::prepare(self.stacks.top(stack as usize), super::fiber_main, worker as usize)
        }
    }

    /// Takes the next runnable thread: its index, and whether it has not started yet.
    pub(crate) fn pick(&mut self, fair: bool) -> Option<(usize, bool)> {
        if fair {
            let warp = &self.warps[self.current_warp as usize];
            let above = u32::MAX.checked_shl((self.current & 31) + 1).unwrap_or(0);
            let runnable = (warp.ready | warp.fresh) & above;
            if runnable != 0 {
                return Some(self.take(runnable.trailing_zeros()));
            }
            self.current_warp = self.warp_from(self.current_warp + 1);
        }
        loop {
            if self.ready_warps == 0 {
                return None;
            }
            if self.order != Order::Ascending {
                let start = self.random();
                self.current_warp = self.warp_from(start);
            }
            let warp = &self.warps[self.current_warp as usize];
            let mut runnable = warp.ready | warp.fresh;
            if runnable != 0 {
                if self.order != Order::Ascending {
                    for _ in 0..self.random() % runnable.count_ones() {
                        runnable &= runnable - 1;
                    }
                }
                return Some(self.take(runnable.trailing_zeros()));
            }
            self.ready_warps &= !(1 << self.current_warp);
            self.current_warp = self.warp_from(self.current_warp + 1);
        }
    }

    /// The first warp from `start` on, cyclically, that may have runnable lanes; the current one
    /// if there is none.
    fn warp_from(&self, start: u32) -> u32 {
        let start = start & 31;
        let rotated = self.ready_warps.rotate_right(start);
        if rotated == 0 { self.current_warp } else { (start + rotated.trailing_zeros()) & 31 }
    }

    fn take(&mut self, lane: u32) -> (usize, bool) {
        let warp = &mut self.warps[self.current_warp as usize];
        let bit = 1 << lane;
        let fresh = warp.fresh & bit != 0;
        warp.ready &= !bit;
        warp.fresh &= !bit;
        self.current = self.current_warp * 32 + lane;
        (self.current as usize, fresh)
    }

    /// What the running thread's kernel is called with: the thread, and pointers to the arguments.
    pub(crate) fn call(&mut self) -> (*mut Thread, *const *mut c_void) {
        (&raw mut self.threads[self.current as usize], self.arguments.as_ptr())
    }

    /// The next number of a xorshift generator.
    fn random(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 32) as u32
    }

    /// Lets all threads go on that wait at a barrier.
    pub(crate) fn release(&mut self, id: usize) {
        let barrier = std::mem::take(&mut self.barriers[id]);
        let mut warps = 0;
        for (i, warp) in self.warps.iter_mut().enumerate() {
            if barrier.waiting[i] != 0 {
                warp.ready |= barrier.waiting[i];
                warps |= 1 << i;
            }
        }
        self.ready_warps |= warps;
        if id == 0 {
            // Read before the next such barrier completes: that needs every live thread.
            self.block.predicates = barrier.predicates;
        }
        if id == 0 || id == BARRIERS - 1 {
            self.epoch += 1;
            self.checker.barrier();
        } else {
            self.checker.named_barrier(warps);
        }
    }

    /// Forgets all threads of a block that failed; their frames own nothing.
    pub(crate) fn abandon(&mut self) {
        self.free_stacks = (0..self.stacks.count as u32).rev().collect();
    }
}

/// The mask of the first `count` lanes.
fn lanes(count: u32) -> u32 {
    if count >= 32 { u32::MAX } else { (1 << count) - 1 }
}
