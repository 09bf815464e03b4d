//! What instrumented kernels report: every load and store, before it happens. In checked mode each
//! is looked up; with counting each is counted.

use super::Grid;
use super::count::{Counter, Counts, Sample};
use super::fault::{Trap, current_grid, fail};
use super::global_shadow::GlobalShadow;
use super::order::WarpOrder;
use super::shadow::{Access, Accessor, Hazard, Shadow};
use super::worker::{Block, Thread, Worker};
use crate::emulator::emulator;
use crate::memory::Kind;
use crate::options::Options;
use crate::status::Status;

/// Kinds of access, as bits; the shim's EMU_WRITE and so on.
pub(crate) const WRITE: u32 = 1;
pub(crate) const ATOMIC: u32 = 2;
/// An asynchronous copy was issued: the memory must not be read before the copy is waited for.
pub(crate) const ASYNC: u32 = 4;
/// Done by the copy engine: ordered by an mbarrier, which is not tracked.
pub(crate) const PROXY: u32 = 8;
/// An asynchronous copy arrives, which was counted when it was issued.
pub(crate) const LANDS: u32 = 16;
/// The type of the access does not promise an alignment, so that a device takes it apart.
pub(crate) const UNALIGNED: u32 = 32;

/// Watches the accesses of a worker's blocks.
#[derive(Debug)]
pub(crate) struct Checker {
    checked: bool,
    counted: bool,
    order: WarpOrder,
    shadow: Shadow,
    /// Absent while a cooperative grid runs.
    global: Option<GlobalShadow>,
    counter: Counter,
}

/// What an address belongs to.
enum Place {
    /// Parts of the emulator that kernels read as variables, and a thread's own stack.
    Own,
    Dynamic(usize),
    Static(usize),
    Global,
    /// The module's variables and literals.
    Module,
    /// None of these; the text says what is wrong.
    Wrong(&'static str),
}

impl Checker {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            checked: options.checked,
            counted: options.count,
            order: WarpOrder::default(),
            shadow: Shadow::default(),
            global: None,
            counter: Counter::default(),
        }
    }

    /// Starts to count and to watch.
    pub(crate) fn begin_grid(&mut self, grid: &Grid) {
        if !self.checked || grid.barrier.is_some() {
            self.global = None;
        } else {
            self.global.get_or_insert_default().begin_grid();
        }
        self.counter.clear();
    }

    /// Starts the block of that number; forgets what earlier ones wrote to shared memory of these
    /// sizes.
    pub(crate) fn begin_block(&mut self, number: u32, dynamic: usize, fixed: usize) {
        if let Some(global) = &mut self.global {
            global.begin_block(number);
        }
        if self.checked {
            self.order.begin_block();
            self.shadow.begin_block(dynamic, fixed);
        }
    }

    /// All threads of the block are at a barrier, or at their end.
    pub(crate) fn barrier(&mut self) {
        if self.counted {
            self.counter.flush();
        }
    }

    /// These warps, as a mask, met at a named barrier.
    pub(crate) fn named_barrier(&mut self, warps: u32) {
        if self.checked {
            self.order.meet(warps);
        }
    }

    /// What the worker's blocks did.
    pub(crate) fn end_grid(&mut self, grid: &Grid) -> Counts {
        self.counter.take(|site| grid.function.module.line(site))
    }
}

/// An access of a kernel to memory. Does not return if it is wrong.
///
/// # Safety
/// `t` is the running thread.
pub(crate) unsafe extern "C" fn access(
    t: *mut Thread,
    address: usize,
    size: u32,
    kind: u32,
    site: usize,
) {
    // SAFETY: by contract; the kernel holds no reference to the worker.
    let (worker, i) = unsafe { (&mut *(*t).worker, (*t).linear as usize) };
    let place = locate(worker, i, address, size as usize);
    if worker.checker.checked
        && let Err(trap) = check(worker, i, &place, &Access { address, size, kind, site })
    {
        fail(worker, trap);
    }
    if worker.checker.counted && kind & LANDS == 0 {
        let shared = match place {
            Place::Dynamic(offset) | Place::Static(offset) => Some(offset),
            Place::Global => None,
            _ => return,
        };
        let address = shared.unwrap_or(address);
        let sample =
            Sample { address, size, write: kind & WRITE != 0, shared: shared.is_some(), site };
        let live = worker.warps[i / 32].live;
        worker.checker.counter.add(i as u32, live, &sample);
    }
}

/// An event that is counted; the numbers are the shim's EMU_TALLY_*.
///
/// # Safety
/// `t` is the running thread.
pub(crate) unsafe extern "C" fn tally(t: *mut Thread, what: u32, amount: u64) {
    // SAFETY: by contract; the kernel holds no reference to the worker.
    let worker = unsafe { &mut *(*t).worker };
    worker.checker.counter.tally(what, amount);
}

/// Where an address lies, in words, with a leading space; empty if unknown.
pub(crate) fn describe(worker: &Worker, address: usize) -> String {
    const NEAR: usize = 4096;
    let (start, length) = (worker.block.shared as usize, worker.block.shared_bytes as usize);
    if length > 0 && address + NEAR >= start && address < start + length + NEAR {
        let offset = address as isize - start as isize;
        return format!(" (at {offset} of {length} bytes of dynamic shared memory)");
    }
    emulator().memory.describe(address).map_or_else(String::new, |text| format!(" ({text})"))
}

fn locate(worker: &mut Worker, i: usize, address: usize, size: usize) -> Place {
    let inside = |start: usize, length: usize| {
        address.wrapping_sub(start) < length && size <= length - (address - start)
    };
    let threads = worker.threads.as_ptr() as usize;
    if inside(threads, worker.threads.len() * size_of::<Thread>())
        || inside(&raw const worker.block as usize, size_of::<Block>())
    {
        return Place::Own;
    }
    if worker.stacks.contains(address) {
        return match worker.stacks.owns(worker.threads[i].stack as usize, address) {
            true => Place::Own,
            false => Place::Wrong("the local memory of another thread"),
        };
    }
    let dynamic = worker.block.shared as usize;
    if inside(dynamic, worker.block.shared_bytes as usize) {
        return Place::Dynamic(address - dynamic);
    }
    let (fixed, length) = worker.static_shared;
    if inside(fixed, length) {
        return Place::Static(address - fixed);
    }
    let (start, end) = worker.cold[i].buffer;
    if inside(start, end - start) {
        return Place::Global;
    }
    let grid = current_grid(worker);
    if let Some(found) = emulator().memory.find(address, size) {
        if matches!(found.kind, Kind::Device(device) if device != grid.device) {
            return Place::Wrong("memory of another device");
        }
        worker.cold[i].buffer = (found.start, found.start + found.size);
        return Place::Global;
    }
    if grid.function.module.contains(address) {
        return Place::Module;
    }
    Place::Wrong("no memory of the kernel")
}

fn check(worker: &mut Worker, i: usize, place: &Place, access: &Access) -> Result<(), Trap> {
    // A device wants vectors at multiples of their size. A type of 16 bytes that is aligned to 8
    // cannot be told from one; it must lie as a vector would.
    let size = access.size as usize;
    if access.kind & UNALIGNED == 0
        && size.is_power_of_two()
        && !access.address.is_multiple_of(size.min(16))
        && !matches!(place, Place::Own)
    {
        let text = format!("misaligned access of {} bytes at {:#x}", access.size, access.address);
        return Err(Trap { status: Status::MISALIGNED_ADDRESS, text, site: access.site });
    }
    let time = worker.checker.order.tick();
    let accessor = Accessor {
        thread: i as u32,
        epoch: worker.epoch,
        warp_epoch: worker.warps[i / 32].epoch,
        time,
        known: worker.checker.order.known(i / 32),
    };
    let (dynamic, offset) = match place {
        Place::Own | Place::Module => return Ok(()),
        Place::Global => {
            let Some(global) = &mut worker.checker.global else { return Ok(()) };
            return global.check(&accessor, access).map_err(|hazard| {
                let place = format!("{:#x}{}", access.address, describe(worker, access.address));
                hazard_trap(worker, &hazard, access, &place)
            });
        }
        Place::Dynamic(offset) => (true, *offset),
        Place::Static(offset) => (false, *offset),
        Place::Wrong(what) => {
            let verb = if access.kind & WRITE != 0 { "write" } else { "read" };
            let text = format!(
                "invalid {verb} of {} bytes at {:#x}: {what}{}",
                access.size,
                access.address,
                describe(worker, access.address)
            );
            return Err(Trap { status: Status::ILLEGAL_ADDRESS, text, site: access.site });
        }
    };
    worker.checker.shadow.check(&accessor, dynamic, offset, access).map_err(|hazard| {
        let space = if dynamic { "dynamic" } else { "static" };
        hazard_trap(worker, &hazard, access, &format!("offset {offset} of {space} shared memory"))
    })
}

fn hazard_trap(worker: &Worker, hazard: &Hazard, access: &Access, place: &str) -> Trap {
    let mut text = format!("{}: {} bytes at {place}", hazard.what, access.size);
    if let Some((who, site)) = &hazard.other {
        let line = current_grid(worker).function.module.line(*site);
        text += &format!("\n    the other access is by {who} at {line}");
    }
    Trap::failed(text, access.site)
}
