//! What kernels call: barriers, warp collectives, yields and traps. Each parks the calling fiber
//! and runs on the stack of the CPU thread, so that fiber stacks hold kernel frames only.

use super::fault::{Trap, fail};
use super::worker::{BARRIERS, Gathering, Thread, Wait, Worker};
use super::{check, options};
use crate::status::Status;
use std::arch::naked_asm;
use std::ffi::{CStr, c_char, c_void};
use std::mem::offset_of;

/// What a warp collective does once all lanes are there: the lanes' inputs, outputs, their mask.
pub(crate) type Collective = unsafe extern "C" fn(*const *const c_void, *const *mut c_void, u32);

/// The functions that a module is bound to; `struct __emu_api_t` in the shim.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Api {
    barrier: unsafe extern "sysv64" fn(*mut Thread, u32, u32, u32, usize),
    warp: unsafe extern "sysv64" fn(
        *mut Thread,
        u32,
        *const c_void,
        *mut c_void,
        Option<Collective>,
        usize,
    ),
    yield_now: unsafe extern "sysv64" fn(*mut Thread),
    trap: unsafe extern "C" fn(*mut Thread, u32, *const c_char, usize),
    access: unsafe extern "C" fn(*mut Thread, usize, u32, u32, usize),
    tally: unsafe extern "C" fn(*mut Thread, u32, u64),
}

pub(crate) static API: Api = Api {
    barrier: barrier_entry,
    warp: warp_entry,
    yield_now: yield_entry,
    trap,
    access: check::access,
    tally: check::tally,
};

/// Parks the calling fiber (six registers on its own stack), runs `$body` on the stack that
/// `run_block` left, and continues at the stack pointer that it returns.
macro_rules! entry {
    ($name:ident, $body:ident, ($($argument:ident: $type:ty),*)) => {
        /// # Safety
        /// The first argument is the running thread.
        #[unsafe(naked)]
        unsafe extern "sysv64" fn $name($($argument: $type),*) {
            naked_asm!(
                "push rbp",
                "push rbx",
                "push r12",
                "push r13",
                "push r14",
                "push r15",
                "mov [rdi + {sp}], rsp",
                "mov rax, [rdi + {worker}]",
                "mov rsp, [rax]",
                "and rsp, -16",
                "call {body}",
                "mov rsp, rax",
                "pop r15",
                "pop r14",
                "pop r13",
                "pop r12",
                "pop rbx",
                "pop rbp",
                "ret",
                sp = const offset_of!(Thread, sp),
                worker = const offset_of!(Thread, worker),
                body = sym $body,
            )
        }
    };
}
const _: () = assert!(offset_of!(Worker, main_sp) == 0);

entry!(barrier_entry, barrier, (t: *mut Thread, id: u32, count: u32, predicate: u32, site: usize));
entry!(
    warp_entry,
    warp,
    (t: *mut Thread, mask: u32, input: *const c_void, output: *mut c_void,
     operation: Option<Collective>, site: usize)
);
entry!(yield_entry, yield_now, (t: *mut Thread));

/// The worker of the running thread and the thread's index.
///
/// # Safety
/// `t` is the running thread of a worker, and no other reference to the worker is in use.
unsafe fn running<'a>(t: *mut Thread) -> (&'a mut Worker, usize) {
    // SAFETY: a worker outlives its threads, and it is used by one CPU thread.
    unsafe { (&mut *(*t).worker, (*t).linear as usize) }
}

/// A barrier of the block. `count` 0: of all threads that have not exited; otherwise of that many.
///
/// # Safety
/// `t` is the running thread.
unsafe extern "sysv64" fn barrier(
    t: *mut Thread,
    id: u32,
    count: u32,
    predicate: u32,
    site: usize,
) -> usize {
    // SAFETY: by contract.
    let (worker, i) = unsafe { running(t) };
    let id = id as usize;
    if id >= BARRIERS {
        fail(worker, Trap::failed(format!("barrier {id} does not exist, there are 16"), site));
    }
    let (warp, lane) = (i / 32, i % 32);
    let bar = &mut worker.barriers[id];
    bar.arrived += 1;
    bar.predicates += u32::from(predicate != 0);
    bar.waiting[warp] |= 1 << lane;
    let expected = if count == 0 { worker.alive } else { count };
    if bar.arrived != expected {
        let cold = &mut worker.cold[i];
        (cold.site, cold.wait) = (site, Wait::Barrier(id as u32));
        return worker.next_sp(false);
    }
    if id == BARRIERS - 1
        && let Err(text) = super::grid_barrier(worker)
    {
        fail(worker, Trap::failed(text, site));
    }
    worker.release(id);
    worker.warps[warp].ready &= !(1 << lane);
    worker.threads[i].sp
}

/// A warp collective: the last lane of `mask` to arrive runs `operation` over the inputs and
/// outputs of all of them, which lie in the parked lanes' frames. No operation: `__syncwarp`.
///
/// # Safety
/// `t` is the running thread; the pointers are what the operation expects.
unsafe extern "sysv64" fn warp(
    t: *mut Thread,
    mask: u32,
    input: *const c_void,
    output: *mut c_void,
    operation: Option<Collective>,
    site: usize,
) -> usize {
    // SAFETY: by contract.
    let (worker, i) = unsafe { running(t) };
    match arrive(worker, i, mask, operation.map_or(0, |f| f as usize), (input, output)) {
        Err(text) => fail(worker, Trap::failed(text, site)),
        Ok(false) => {
            let cold = &mut worker.cold[i];
            (cold.site, cold.wait) = (site, Wait::Warp(mask));
            worker.next_sp(false)
        }
        Ok(true) => {
            let warp = &mut worker.warps[i / 32];
            match operation {
                // SAFETY: all lanes of the mask are parked here with the pointers they brought.
                Some(f) => unsafe { f(warp.inputs.as_ptr(), warp.outputs.as_ptr(), mask) },
                None => warp.epoch += 1,
            }
            warp.ready |= mask & !(1 << (i % 32));
            worker.ready_warps |= 1 << (i / 32);
            worker.threads[i].sp
        }
    }
}

/// Notes that a lane came to a collective; true if it was the last one awaited.
fn arrive(
    worker: &mut Worker,
    i: usize,
    mask: u32,
    operation: usize,
    (input, output): (*const c_void, *mut c_void),
) -> Result<bool, String> {
    let (warp, lane) = (&mut worker.warps[i / 32], i % 32);
    let bit = 1u32 << lane;
    warp.inputs[lane] = input;
    warp.outputs[lane] = output;
    if mask & bit == 0 {
        return Err(format!("warp collective: lane {lane} is not in its own mask {mask:#010x}"));
    }
    if mask & !warp.live != 0 {
        return Err(format!(
            "warp collective: mask {mask:#010x} names lanes that have exited or never were; live \
             are {:#010x}",
            warp.live
        ));
    }
    let open = &warp.gatherings[..warp.gathering_count];
    let at = match open.iter().position(|g| g.mask & bit != 0) {
        Some(at) if open[at].mask == mask => at,
        Some(at) => {
            return Err(format!(
                "warp collective: lane {lane} came with mask {mask:#010x}, but others wait for it \
                 with mask {:#010x}",
                open[at].mask
            ));
        }
        None if warp.gathering_count == warp.gatherings.len() => {
            return Err("warp collective: too many parts of a warp wait separately".into());
        }
        None => {
            warp.gatherings[warp.gathering_count] = Gathering { mask, arrived: 0, operation };
            warp.gathering_count += 1;
            warp.gathering_count - 1
        }
    };
    let gathering = &mut warp.gatherings[at];
    if gathering.operation != operation {
        return Err(format!(
            "warp collective: lanes of mask {mask:#010x} called different operations"
        ));
    }
    gathering.arrived |= bit;
    if gathering.arrived != mask {
        return Ok(false);
    }
    warp.gathering_count -= 1;
    warp.gatherings.swap(at, warp.gathering_count);
    Ok(true)
}

/// Lets other threads of the block go on.
///
/// # Safety
/// `t` is the running thread.
unsafe extern "sysv64" fn yield_now(t: *mut Thread) -> usize {
    const CLOCK_INTERVAL: u64 = 1 << 16;
    // SAFETY: by contract.
    let (worker, i) = unsafe { running(t) };
    worker.warps[i / 32].ready |= 1 << (i % 32);
    worker.ready_warps |= 1 << (i / 32);
    worker.cold[i].wait = Wait::Yield;
    worker.spins += 1;
    if worker.spins.is_multiple_of(CLOCK_INTERVAL) {
        let limit = options().spin_limit;
        if worker.started.elapsed() > limit {
            let text = format!("threads of the block still spin after {limit:?}");
            fail(worker, Trap { status: Status::LAUNCH_TIMEOUT, text, site: 0 });
        }
        std::thread::yield_now();
    }
    worker.next_sp(true)
}

/// Ends the launch with an error that the kernel names.
///
/// # Safety
/// `t` is the running thread, `text` a C string.
unsafe extern "C" fn trap(t: *mut Thread, status: u32, text: *const c_char, site: usize) {
    // SAFETY: by contract.
    let (worker, text) =
        unsafe { (running(t).0, CStr::from_ptr(text).to_string_lossy().into_owned()) };
    fail(worker, Trap { status: Status(status), text, site });
}
