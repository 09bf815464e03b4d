//! Executes a grid: its blocks are spread over workers, and each CUDA thread of a block is a fiber
//! that is given up at a block barrier, a warp collective, a yield or its exit only.

pub(crate) mod check;
mod cooperative;
mod count;
mod fault;
mod fiber;
mod global_shadow;
mod hash;
mod order;
mod repeat;
mod shadow;
mod sync;
mod worker;

pub(crate) use cooperative::GridBarrier;
pub(crate) use repeat::run;
pub(crate) use sync::{API, Api};
pub(crate) use worker::{Block, MAX_THREADS, Thread};

use crate::emulator::emulator;
use crate::module::Function;
use crate::options::{Options, Order};
use crate::records::Counters;
use crate::status::Status;
use count::Counts;
use fault::{RUNNING, Trap, current_grid, fail};
use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use worker::Worker;

/// A launch.
#[derive(Debug)]
pub(crate) struct Grid {
    pub(crate) function: Arc<Function>,
    pub(crate) device: usize,
    /// Blocks.
    pub(crate) grid: [u32; 3],
    /// Threads of a block.
    pub(crate) block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub(crate) shared: u32,
    pub(crate) arguments: Arguments,
    /// Present for a cooperative launch.
    pub(crate) barrier: Option<GridBarrier>,
}

/// Copies of the values of a launch, and pointers to them.
#[derive(Debug)]
pub(crate) struct Arguments {
    storage: Vec<Slot>,
    starts: Vec<usize>,
}

/// Parameters may be aligned to 64 bytes; tensor maps are.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Slot([u8; 64]);

/// Why a piece of work failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) kernel: Option<String>,
    pub(crate) text: String,
}

impl Arguments {
    /// Room for values of these sizes.
    pub(crate) fn new(sizes: &[u32]) -> Self {
        let mut slots = 0;
        let starts = sizes.iter().map(|size| {
            let start = slots;
            slots += (*size as usize).div_ceil(64).max(1);
            start
        });
        let starts = starts.collect();
        Self { storage: vec![Slot([0; 64]); slots], starts }
    }

    /// Where the values lie.
    pub(crate) fn pointers(&self) -> Vec<*mut c_void> {
        let slot = |&start: &usize| (&raw const self.storage[start]).cast_mut().cast();
        self.starts.iter().map(slot).collect()
    }
}

impl Grid {
    fn blocks(&self) -> u64 {
        self.grid.iter().map(|n| u64::from(*n)).product()
    }

    fn block_index(&self, linear: u64) -> [u32; 3] {
        let [x, y, _] = self.grid.map(u64::from);
        [linear % x, linear / x % y, linear / (x * y)].map(|n| n as u32)
    }
}

/// The options of the installed emulator.
fn options() -> &'static Options {
    &emulator().options
}

/// Executes all blocks. Ends early with the first failure.
fn run_once(grid: &Grid, order: Order) -> Result<Counters, Failure> {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let outcome: Mutex<(Counts, Option<Failure>)> = Mutex::default();
    let blocks = grid.blocks();
    let body = || {
        let result = with_worker(|worker| {
            let mut begun = false;
            while !stop.load(Ordering::Relaxed) {
                let block = next.fetch_add(1, Ordering::Relaxed);
                if block >= blocks {
                    break;
                }
                if !begun {
                    begun = true;
                    // SAFETY: the pointer is this CPU thread's worker and no block runs.
                    unsafe { (*worker).begin_grid(grid, order) };
                }
                run_block(worker, grid.block_index(repeat::block_at(order, block, blocks)))?;
                if let Some(barrier) = &grid.barrier {
                    barrier.leave();
                }
            }
            if !begun {
                return Ok(Counts::default());
            }
            // SAFETY: as above.
            Ok(unsafe { (*worker).checker.end_grid(grid) })
        });
        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(counts) => outcome.0.add(counts),
            Err(failure) => {
                stop.store(true, Ordering::Relaxed);
                if let Some(barrier) = &grid.barrier {
                    barrier.abort();
                }
                outcome.1.get_or_insert(failure);
            }
        }
    };
    if grid.barrier.is_some() {
        // Blocks of a cooperative launch wait for each other: each has a CPU thread of its own.
        std::thread::scope(|scope| (0..blocks).for_each(|_| drop(scope.spawn(body))));
    } else if blocks == 1 || options().checked || options().workers == 1 {
        // Checked launches run on one worker, so that reports repeat.
        body();
    } else {
        emulator().pool.broadcast(|_| body());
    }
    match outcome.into_inner().unwrap_or_else(PoisonError::into_inner) {
        (_, Some(failure)) => Err(failure),
        (counts, None) => Ok(counts.finish()),
    }
}

/// Gives this CPU thread's worker to a function.
fn with_worker<T>(body: impl FnOnce(*mut Worker) -> Result<T, Failure>) -> Result<T, Failure> {
    struct Owner(Cell<*mut Worker>);
    impl Drop for Owner {
        fn drop(&mut self) {
            let worker = self.0.get();
            if !worker.is_null() {
                // SAFETY: made by Box::into_raw below; the CPU thread ends, so no block runs.
                drop(unsafe { Box::from_raw(worker) });
            }
        }
    }
    thread_local!(static WORKER: Owner = const { Owner(Cell::new(std::ptr::null_mut())) });
    let worker = WORKER.with(|owner| {
        if owner.0.get().is_null() {
            owner.0.set(Box::into_raw(Worker::new(options())?));
        }
        Ok(owner.0.get())
    });
    body(worker.map_err(|error: std::io::Error| Failure {
        status: Status::OUT_OF_MEMORY,
        kernel: None,
        text: format!("cannot map stacks for CUDA threads: {error}"),
    })?)
}

fn run_block(worker: *mut Worker, index: [u32; 3]) -> Result<(), Failure> {
    // SAFETY: the pointer is this CPU thread's worker. References to it end before the switch to a
    // fiber, and all fibers have been left when the switch returns.
    let worker = unsafe {
        (*worker).begin_block(index);
        RUNNING.set(worker);
        let first = (*worker).next_sp(false);
        fiber::switch(&raw mut (*worker).main_sp, first);
        RUNNING.set(std::ptr::null_mut());
        &mut *worker
    };
    if !worker.block.user.is_null() {
        let end = current_grid(worker).function.module.block_end;
        // SAFETY: the module's own function for what its kernels put there.
        unsafe { end(&raw mut worker.block) };
    }
    worker.checker.barrier();
    let failure = worker.failure.take();
    let failure = failure.or_else(|| (worker.alive > 0).then(|| fault::deadlock(worker)));
    match failure {
        Some(failure) => {
            worker.abandon();
            Err(failure)
        }
        None => Ok(()),
    }
}

/// A fiber: runs one fresh CUDA thread after another until one of them waits. Kernels without
/// barriers therefore never leave the first stack.
///
/// # Safety
/// The argument is the address of the worker that runs on this CPU thread.
unsafe extern "sysv64" fn fiber_main(worker: usize) -> ! {
    let worker = worker as *mut Worker;
    loop {
        // SAFETY: as above; no reference to the worker is held while the kernel runs, as its
        // barriers use the worker. The arguments live as long as the grid.
        let next = unsafe {
            let function = &(*(*worker).grid).function;
            let (thread, arguments) = (*worker).call();
            (function.module.entry)(thread, function.thunk, arguments);
            exit(&mut *worker)
        };
        if let Some(sp) = next {
            // SAFETY: a parked context of this worker, taken out of the ready sets.
            unsafe { fiber::jump(sp) }
        }
    }
}

/// Ends the current thread. The next one is started on the same stack if it is fresh (none), else
/// the context to continue at is returned.
fn exit(worker: &mut Worker) -> Option<usize> {
    let i = worker.current as usize;
    let stack = worker.threads[i].stack;
    let (warp, bit) = (&mut worker.warps[i / 32], 1u32 << (i % 32));
    warp.live &= !bit;
    let awaited = warp.gatherings[..warp.gathering_count].iter().find(|g| g.mask & bit != 0);
    if let Some(gathering) = awaited {
        let mask = gathering.mask;
        let text =
            format!("a thread exited while a warp collective of mask {mask:#010x} waits for it");
        fail(worker, Trap::failed(text, 0));
    }
    worker.alive -= 1;
    if worker.alive > 0 && worker.barriers[0].arrived == worker.alive {
        worker.release(0);
    }
    match worker.pick(false) {
        Some((next, true)) => {
            worker.threads[next].stack = stack;
            None
        }
        Some((next, false)) => {
            worker.free_stacks.push(stack);
            Some(worker.threads[next].sp)
        }
        None => {
            worker.free_stacks.push(stack);
            Some(worker.main_sp)
        }
    }
}

/// Waits until every block of a cooperative launch is at the grid's barrier.
fn grid_barrier(worker: &Worker) -> Result<(), String> {
    match &current_grid(worker).barrier {
        Some(barrier) => barrier.wait(),
        None => Err("a barrier of the grid in a launch that is not cooperative".into()),
    }
}
