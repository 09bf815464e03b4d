//! Failures of kernels: traps, faults of the CPU inside a kernel, and deadlocks, each told with
//! the kernel, the thread and the source line.

use super::fiber::{self, Mapping};
use super::worker::{Thread, Wait, Worker};
use super::{Failure, Grid};
use crate::status::Status;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::sync::Once;

/// What a thread did wrong, and from which code address (0: unknown).
#[derive(Debug)]
pub(crate) struct Trap {
    pub(crate) status: Status,
    pub(crate) text: String,
    pub(crate) site: usize,
}

impl Trap {
    /// A trap that the host sees as "unspecified launch failure".
    pub(crate) fn failed(text: String, site: usize) -> Self {
        Self { status: Status::LAUNCH_FAILED, text, site }
    }
}

/// Gives the current block up: its fibers are abandoned where they are, as their frames own
/// nothing, and `run_block` goes on.
pub(crate) fn fail(worker: &mut Worker, trap: Trap) -> ! {
    let thread = &worker.threads[worker.current as usize];
    let grid = current_grid(worker);
    let mut text = format!(
        "{}\n    kernel {}, block {:?}, thread {:?}, warp {}, lane {}",
        trap.text, grid.function.name, worker.block.index, thread.index, thread.warp, thread.lane
    );
    if trap.site != 0 {
        text += &format!("\n    at {}", grid.function.module.line(trap.site));
    }
    worker.failure =
        Some(Failure { status: trap.status, kernel: Some(grid.function.name.clone()), text });
    // SAFETY: `run_block` saved this context and has not been continued since.
    unsafe { fiber::jump(worker.main_sp) }
}

/// Why no thread of the block can go on: the threads by what they wait for, and where.
pub(crate) fn deadlock(worker: &Worker) -> Failure {
    let grid = current_grid(worker);
    let mut waiting: BTreeMap<(Wait, usize), Vec<&Thread>> = BTreeMap::new();
    for thread in &worker.threads {
        if worker.warps[thread.warp as usize].live >> thread.lane & 1 == 1 {
            let cold = worker.cold[thread.linear as usize];
            waiting.entry((cold.wait, cold.site)).or_default().push(thread);
        }
    }
    let mut text = format!(
        "deadlock: {} threads of block {:?} of kernel {} wait for each other",
        worker.alive, worker.block.index, grid.function.name
    );
    for ((wait, site), threads) in waiting {
        let wait = match wait {
            Wait::Nothing => "nothing".to_string(),
            Wait::Barrier(0) => "__syncthreads".to_string(),
            Wait::Barrier(id) => format!("barrier {id}"),
            Wait::Warp(mask) => format!("a warp collective of lanes {mask:#010x}"),
            Wait::Yield => "a yield".to_string(),
        };
        let line = grid.function.module.line(site);
        let (count, first) = (threads.len(), threads[0].index);
        text += &format!("\n    {count} threads, the first {first:?}, in {wait} at {line}");
    }
    Failure { status: Status::LAUNCH_FAILED, kernel: Some(grid.function.name.clone()), text }
}

/// The grid that a worker executes.
pub(crate) fn current_grid(worker: &Worker) -> &Grid {
    // SAFETY: set by `begin_grid` to a grid that outlives its execution; reports are made during it.
    unsafe { &*worker.grid }
}

thread_local! {
    /// The worker that runs a block on this CPU thread; null while none does.
    pub(crate) static RUNNING: Cell<*mut Worker> = const { Cell::new(std::ptr::null_mut()) };
    /// The last fault.
    static FAULT: Cell<Fault> = const { Cell::new(Fault { address: None, site: 0 }) };
}

/// A fault of the processor.
#[derive(Clone, Copy)]
struct Fault {
    /// Where memory could not be accessed. None if the processor does not say: an access of 16
    /// bytes or more was not aligned, or the address is none that it could have.
    address: Option<usize>,
    /// The instruction.
    site: usize,
}

/// `si_code` of a fault without an address.
const GENERAL_PROTECTION: libc::c_int = 0x80;

const SIGNALS: [libc::c_int; 3] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE];
static mut PREVIOUS: [MaybeUninit<libc::sigaction>; 3] =
    [const { MaybeUninit::uninit() }; SIGNALS.len()];

/// A stack of this CPU thread for signals; while it exists, faults of kernels are handled.
#[derive(Debug)]
pub(crate) struct SignalStack(#[expect(dead_code, reason = "unmapped when dropped")] Mapping);

impl SignalStack {
    /// Installs the handler, if this is the first, and the stack.
    pub(crate) fn new() -> std::io::Result<Self> {
        static ONCE: Once = Once::new();
        let map = Mapping::new(64 << 10)?;
        let stack = libc::stack_t { ss_sp: map.start as *mut _, ss_flags: 0, ss_size: map.length };
        // SAFETY: the mapping lives until `drop` has disabled the stack.
        unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) };
        ONCE.call_once(install_handler);
        Ok(Self(map))
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        let none =
            libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: disabling needs no stack; no signal is being handled on it.
        unsafe { libc::sigaltstack(&none, std::ptr::null_mut()) };
    }
}

fn install_handler() {
    for (i, signal) in SIGNALS.iter().enumerate() {
        // SAFETY: a zeroed sigaction is a valid one; `PREVIOUS` is written here, once, before a
        // handler that reads it can run for this signal.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            let previous = (&raw mut PREVIOUS[i]).cast::<libc::sigaction>();
            libc::sigaction(*signal, &action, previous);
        }
    }
}

/// Sends a faulting kernel to [`land`]; every other fault goes where it went before.
///
/// # Safety
/// Called by the system as a signal handler.
unsafe extern "C" fn handler(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::ucontext_t,
) {
    let worker = RUNNING.get();
    // SAFETY: the system gives valid pointers. While RUNNING is set the interrupted code is a
    // kernel or what it called, on a fiber's stack or the worker's; it is not returned to.
    unsafe {
        if worker.is_null() {
            if let Some(i) = SIGNALS.iter().position(|s| *s == signal) {
                let previous = (&raw const PREVIOUS[i]).cast::<libc::sigaction>();
                libc::sigaction(signal, previous, std::ptr::null_mut());
            }
            return;
        }
        let registers = &mut (*context).uc_mcontext.gregs;
        let known = (*info).si_code != GENERAL_PROTECTION;
        FAULT.set(Fault {
            address: known.then(|| (*info).si_addr() as usize),
            site: registers[libc::REG_RIP as usize] as usize,
        });
        let top = (*worker).landing.start + (*worker).landing.length;
        registers[libc::REG_RIP as usize] = land as *const () as i64;
        registers[libc::REG_RSP as usize] = (top - 8) as i64;
    }
}

/// Where a faulting kernel goes on: turns the fault into a failure of the launch.
extern "C" fn land() -> ! {
    // SAFETY: the handler saw that it is set; the interrupted kernel holds no reference to it.
    let worker = unsafe { &mut *RUNNING.get() };
    let Fault { address, site } = FAULT.get();
    let (status, text) = match address {
        Some(address) if worker.stacks.in_guard(address) => {
            let size = worker.stacks.size;
            let text = format!("stack overflow: a CUDA thread has {size} bytes of local memory");
            (Status::ILLEGAL_ADDRESS, text)
        }
        Some(address) => {
            let place = super::check::describe(worker, address);
            (Status::ILLEGAL_ADDRESS, format!("invalid address {address:#x}{place}"))
        }
        None => {
            let text = "misaligned access of 16 bytes or more, or an impossible address";
            (Status::MISALIGNED_ADDRESS, text.into())
        }
    };
    // The saved address is the faulting instruction, not one behind a call.
    fail(worker, Trap { status, text, site: site + 1 })
}
