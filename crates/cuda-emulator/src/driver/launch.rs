//! Launches and occupancy.

use super::context::max_shared;
use super::ffi::{In, Out};
use super::module::found;
use super::{api, device, stream};
use crate::emulator::emulator;
use crate::engine::Work;
use crate::exec::{Arguments, Grid, GridBarrier, MAX_THREADS};
use crate::module::Function;
use crate::status::{Res, Status};
use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Where the values of the parameters lie.
type Parameters = In<*const c_void>;

/// The start of a `CUlaunchConfig`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Configuration {
    grid: [c_uint; 3],
    block: [c_uint; 3],
    shared: c_uint,
    stream: usize,
    attributes: usize,
    attribute_count: c_uint,
}

/// How a grid is laid out.
#[derive(Clone, Copy)]
struct Shape {
    grid: [u32; 3],
    block: [u32; 3],
    shared: u32,
    cooperative: bool,
}

api! {
    fn cuLaunchKernel(
        function: usize, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint,
        shared: c_uint, handle: usize, parameters: Parameters, extra: In<usize>,
    ) {
        let (grid, block) = ([gx, gy, gz], [bx, by, bz]);
        let shape = Shape { grid, block, shared, cooperative: false };
        launch(function, shape, handle, parameters, extra)
    }

    fn cuLaunchKernelEx(
        configuration: In<Configuration>, function: usize, parameters: Parameters,
        extra: In<usize>,
    ) {
        let read = configuration.read(1)?[0];
        let Configuration { grid, block, shared, stream, .. } = read;
        let cooperative = attributes(&read)?;
        launch(function, Shape { grid, block, shared, cooperative }, stream, parameters, extra)
    }

    fn cuLaunchCooperativeKernel(
        function: usize, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint,
        shared: c_uint, handle: usize, parameters: Parameters,
    ) {
        let (grid, block) = ([gx, gy, gz], [bx, by, bz]);
        let shape = Shape { grid, block, shared, cooperative: true };
        launch_checked(function, shape, handle, parameters)
    }

    fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
        blocks: Out<c_int>, function: usize, block: c_int, dynamic: usize,
    ) {
        device()?;
        blocks.set(occupancy(&*found(function)?, block, dynamic))
    }

    fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        blocks: Out<c_int>, function: usize, block: c_int, dynamic: usize, _flags: c_uint,
    ) {
        device()?;
        blocks.set(occupancy(&*found(function)?, block, dynamic))
    }

    fn cuOccupancyAvailableDynamicSMemPerBlock(
        bytes: Out<usize>, function: usize, blocks: c_int, _block: c_int,
    ) {
        device()?;
        let blocks = usize::try_from(blocks).ok().filter(|n| *n > 0).ok_or(Status::INVALID_VALUE)?;
        let of_block = (max_shared() + RESERVED) / blocks;
        bytes.set(of_block.saturating_sub(RESERVED + found(function)?.module.shared_size()))
    }

    fn cuOccupancyMaxPotentialBlockSize(
        grid: Out<c_int>, block: Out<c_int>, function: usize,
        dynamic_of: Option<extern "C" fn(c_int) -> usize>, dynamic: usize, limit: c_int,
    ) {
        potential((grid, block), function, dynamic_of, dynamic, limit)
    }

    fn cuOccupancyMaxPotentialBlockSizeWithFlags(
        grid: Out<c_int>, block: Out<c_int>, function: usize,
        dynamic_of: Option<extern "C" fn(c_int) -> usize>, dynamic: usize, limit: c_int,
        _flags: c_uint,
    ) {
        potential((grid, block), function, dynamic_of, dynamic, limit)
    }
}

/// Shared memory that the system keeps for itself in every block.
const RESERVED: usize = 1024;
const COOPERATIVE: c_uint = 2;
const CLUSTER: c_uint = 4;

/// One of a configuration's `CUlaunchAttribute`s: its number, and the first words of its value.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Attribute {
    id: c_uint,
    _padding: c_uint,
    value: [c_uint; 16],
}

/// Whether a cooperative launch is asked for. Attributes that only concern speed are ignored.
fn attributes(configuration: &Configuration) -> Res<bool> {
    let list = configuration.attributes as *const Attribute;
    let mut cooperative = false;
    for i in 0..configuration.attribute_count as usize {
        // SAFETY: the configuration's contract is that the list has this many entries.
        let Attribute { id, value, .. } = unsafe { list.add(i).read() };
        match id {
            COOPERATIVE => cooperative = value[0] != 0,
            CLUSTER if value[..3] != [1, 1, 1] => {
                let text = "a launch in clusters: they are not emulated".into();
                return Err(emulator().refuse(Status::NOT_SUPPORTED, text));
            }
            _ => {}
        }
    }
    Ok(cooperative)
}

fn launch(
    function: usize,
    shape: Shape,
    handle: usize,
    parameters: Parameters,
    extra: In<usize>,
) -> Res {
    if !extra.is_null() {
        let text = "a launch with its parameters in a buffer: only pointers are emulated".into();
        return Err(emulator().refuse(Status::NOT_SUPPORTED, text));
    }
    launch_checked(function, shape, handle, parameters)
}

fn launch_checked(function: usize, shape: Shape, handle: usize, parameters: Parameters) -> Res {
    let (device, key) = stream(handle)?;
    let function = found(function)?;
    check(&function, &shape)?;
    if let Some(status) = emulator().ordered_failure(&function.name, false) {
        let text = format!("kernel {} is refused as ordered by the test", function.name);
        return Err(emulator().refuse(status, text));
    }
    // The values are copied before the call returns.
    let arguments = Arguments::new(&function.sizes);
    let values = parameters.read(function.sizes.len())?;
    for ((to, from), size) in arguments.pointers().into_iter().zip(values).zip(&function.sizes) {
        if from.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: the caller promises a value of the parameter's size; the copy has room for it.
        unsafe { std::ptr::copy_nonoverlapping(from.cast(), to.cast::<u8>(), *size as usize) };
    }
    let Shape { grid, block, shared, cooperative } = shape;
    let blocks = grid.iter().map(|n| u64::from(*n)).product();
    let barrier = cooperative.then(|| GridBarrier::new(blocks));
    let grid = Grid { function, device, grid, block, shared, arguments, barrier };
    emulator().engine.lock().push(key, Work::Launch(Arc::new(grid)))
}

/// Refuses a launch that the device could not execute.
fn check(function: &Function, shape: &Shape) -> Res {
    let Shape { grid, block, shared, cooperative } = *shape;
    let refuse = |status, what: String| {
        Err(emulator().refuse(status, format!("kernel {}: {what}", function.name)))
    };
    let threads: u64 = block.iter().map(|n| u64::from(*n)).product();
    let most = u64::from(function.max_threads).min(MAX_THREADS as u64);
    if grid.contains(&0) || threads == 0 || threads > most || block[2] > 64 {
        let what = format!("grid {grid:?} of blocks {block:?}; at most {most} threads a block");
        return refuse(Status::INVALID_VALUE, what);
    }
    if grid[0] > i32::MAX as u32 || grid[1] > 65_535 || grid[2] > 65_535 {
        let what = format!("grid {grid:?} is larger than a device allows");
        return refuse(Status::INVALID_VALUE, what);
    }
    let allowed = function.max_dynamic.load(Ordering::Relaxed);
    if shared > allowed || shared as usize + function.module.shared_size() > max_shared() {
        let what = format!(
            "{shared} bytes of dynamic shared memory; cuFuncSetAttribute allowed {allowed}"
        );
        return refuse(Status::INVALID_VALUE, what);
    }
    if cooperative {
        let resident = occupancy(function, threads as c_int, shared as usize) as u64;
        let resident = resident * u64::from(emulator().options.multiprocessors);
        let blocks: u64 = grid.iter().map(|n| u64::from(*n)).product();
        if blocks > resident {
            let what = format!("{blocks} blocks in a cooperative launch, {resident} fit");
            return refuse(Status::COOPERATIVE_LAUNCH_TOO_LARGE, what);
        }
    }
    Ok(())
}

/// Blocks of a kernel that fit on a multiprocessor, by threads and shared memory; registers are
/// not known here.
fn occupancy(function: &Function, block: c_int, dynamic: usize) -> c_int {
    const MAX_BLOCKS: usize = 32;
    const THREADS: usize = 2048;
    let warps = usize::try_from(block).unwrap_or(0).div_ceil(32).max(1);
    let shared = dynamic + function.module.shared_size() + RESERVED;
    MAX_BLOCKS.min(THREADS / (32 * warps)).min((max_shared() + RESERVED) / shared) as c_int
}

fn potential(
    (grid, block): (Out<c_int>, Out<c_int>),
    function: usize,
    dynamic_of: Option<extern "C" fn(c_int) -> usize>,
    dynamic: usize,
    limit: c_int,
) -> Res {
    device()?;
    let function = found(function)?;
    let most = if limit > 0 { limit.min(MAX_THREADS as c_int) } else { MAX_THREADS as c_int };
    let most = most.min(function.max_threads as c_int);
    let of = |size| {
        let dynamic = dynamic_of.map_or(dynamic, |f| f(size));
        (size * occupancy(&function, size, dynamic), size)
    };
    let sizes = (1..=most / 32).map(|warps| of(32 * warps));
    let (threads, size) = sizes.max().unwrap_or_else(|| of(most));
    grid.set(threads / size * emulator().options.multiprocessors as c_int)?;
    block.set(size)
}
