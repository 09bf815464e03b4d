//! Allocation, copies, memsets, pools.

use super::ffi::{In, Out};
use super::{api, device, initialized, stream};
use crate::emulator::emulator;
use crate::engine::Work;
use crate::memory::{FreeError, Kind};
use crate::status::{Res, Status};
use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::{Arc, Mutex, PoisonError};

/// Attributes of pools that were set, by pool and number.
static POOL_ATTRIBUTES: Mutex<BTreeMap<(usize, c_int), u64>> = Mutex::new(BTreeMap::new());
const POOL: usize = 0x0009_0000;
const LEGACY: usize = 0;

api! {
    fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) {
        let device = device()?;
        let memory = &emulator().memory;
        free.set_if_wanted(memory.capacity - memory.used(device).0);
        total.set_if_wanted(memory.capacity);
        Ok(())
    }

    fn cuMemAlloc_v2(pointer: Out<u64>, size: usize) {
        emulator().engine.lock().not_while_capturing()?;
        pointer.set(allocate(size, Kind::Device(device()?))?)
    }

    fn cuMemAllocAsync(pointer: Out<u64>, size: usize, handle: usize) {
        let (device, _) = outside_capture(handle)?;
        pointer.set(allocate(size, Kind::Device(device))?)
    }

    fn cuMemAllocFromPoolAsync(pointer: Out<u64>, size: usize, pool: usize, handle: usize) {
        outside_capture(handle)?;
        pointer.set(allocate(size, Kind::Device(pool_device(pool)?))?)
    }

    fn cuMemAllocManaged(pointer: Out<u64>, size: usize, _flags: c_uint) {
        pointer.set(allocate(size, Kind::Managed(device()?))?)
    }

    fn cuMemHostAlloc(pointer: Out<u64>, size: usize, _flags: c_uint) {
        device()?;
        pointer.set(allocate(size, Kind::Pinned)?)
    }

    fn cuMemFree_v2(pointer: u64) {
        free_now(pointer)
    }

    fn cuMemFreeHost(pointer: u64) {
        free_now(pointer)
    }

    fn cuMemFreeAsync(pointer: u64, handle: usize) {
        initialized()?;
        let device = super::context_device(super::CURRENT.get())?;
        let key = crate::engine::stream_key(handle, device);
        let start = pointer as usize;
        if start == 0 {
            return Ok(());
        }
        if emulator().memory.find(start, 0).is_none_or(|found| found.start != start) {
            let text = format!("cuMemFreeAsync: no allocation starts at {start:#x}");
            return Err(emulator().refuse(Status::INVALID_VALUE, text));
        }
        let mut state = emulator().engine.lock();
        if state.capture_of(key)?.is_some() {
            let text = "cuMemFreeAsync in a capture: graphs that allocate are not emulated".into();
            return Err(emulator().refuse(Status::NOT_SUPPORTED, text));
        }
        state.push(key, Work::Free(start))
    }

    fn cuMemHostGetDevicePointer_v2(pointer: Out<u64>, host: u64, _flags: c_uint) {
        device()?;
        pointer.set(host)
    }

    fn cuMemAdvise_v2(_pointer: u64, _size: usize, _advice: c_int, _location: u64) {
        device().map(drop)
    }

    fn cuMemPrefetchAsync_v2(_to: u64, _size: usize, _location: u64, _flags: c_uint, _s: usize) {
        device().map(drop)
    }

    fn cuStreamAttachMemAsync(_stream: usize, _pointer: u64, _length: usize, _flags: c_uint) {
        device().map(drop)
    }

    fn cuMemcpyHtoDAsync_v2(to: u64, from: In<u8>, length: usize, handle: usize) {
        host_to_device(to, from, length, handle)
    }

    fn cuMemcpyHtoD_v2(to: u64, from: In<u8>, length: usize) {
        emulator().engine.lock().not_while_capturing()?;
        host_to_device(to, from, length, LEGACY)?;
        emulator().engine.synchronize(stream(LEGACY)?.1)
    }

    fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, length: usize, handle: usize) {
        device_to_host(to as usize, from, length, handle)
    }

    fn cuMemcpyDtoH_v2(to: *mut c_void, from: u64, length: usize) {
        emulator().engine.lock().not_while_capturing()?;
        device_to_host(to as usize, from, length, LEGACY)?;
        emulator().engine.synchronize(stream(LEGACY)?.1)
    }

    fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, length: usize, handle: usize) {
        device_to_device(to, from, length, handle)
    }

    fn cuMemcpyDtoD_v2(to: u64, from: u64, length: usize) {
        device_to_device(to, from, length, LEGACY)
    }

    fn cuMemcpyPeerAsync(
        to: u64, _to_context: usize, from: u64, _from_context: usize, length: usize, handle: usize,
    ) {
        device_to_device(to, from, length, handle)
    }

    fn cuMemsetD8Async(to: u64, value: u8, count: usize, handle: usize) {
        fill(to, u32::from(value), 1, count, handle)
    }

    fn cuMemsetD8_v2(to: u64, value: u8, count: usize) {
        fill(to, u32::from(value), 1, count, LEGACY)
    }

    fn cuMemsetD16Async(to: u64, value: u16, count: usize, handle: usize) {
        fill(to, u32::from(value), 2, count, handle)
    }

    fn cuMemsetD32Async(to: u64, value: u32, count: usize, handle: usize) {
        fill(to, value, 4, count, handle)
    }

    fn cuDeviceGetDefaultMemPool(pool: Out<usize>, device: c_int) {
        pool.set(POOL + device as usize)
    }

    fn cuDeviceGetMemPool(pool: Out<usize>, device: c_int) {
        pool.set(POOL + device as usize)
    }

    fn cuMemPoolTrimTo(pool: usize, _keep: usize) {
        pool_device(pool).map(drop)
    }

    fn cuMemPoolSetAttribute(pool: usize, attribute: c_int, value: Out<u64>) {
        pool_device(pool)?;
        let mut attributes = POOL_ATTRIBUTES.lock().unwrap_or_else(PoisonError::into_inner);
        let value = match attribute {
            ..RELEASE_THRESHOLD => u64::from(value.cast::<u32>().get()?),
            _ => value.get()?,
        };
        attributes.insert((pool, attribute), value);
        Ok(())
    }

    fn cuMemPoolGetAttribute(pool: usize, attribute: c_int, value: Out<u64>) {
        let (used, peak) = emulator().memory.used(pool_device(pool)?);
        let attributes = POOL_ATTRIBUTES.lock().unwrap_or_else(PoisonError::into_inner);
        match attribute {
            RESERVED | USED => value.set(used as u64),
            RESERVED_PEAK | USED_PEAK => value.set(peak as u64),
            RELEASE_THRESHOLD => value.set(attributes.get(&(pool, attribute)).copied().unwrap_or(0)),
            _ => Err(Status::INVALID_VALUE),
        }
    }
}

const RELEASE_THRESHOLD: c_int = 4;
const RESERVED: c_int = 5;
const RESERVED_PEAK: c_int = 6;
const USED: c_int = 7;
const USED_PEAK: c_int = 8;

fn pool_device(pool: usize) -> Res<usize> {
    let device = pool.wrapping_sub(POOL);
    if device < emulator().options.devices { Ok(device) } else { Err(Status::INVALID_VALUE) }
}

/// Allocates; when the device is full, after the frees that are under way.
fn allocate(size: usize, kind: Kind) -> Res<u64> {
    if size == 0 {
        return Err(Status::INVALID_VALUE);
    }
    let memory = &emulator().memory;
    let found = memory.allocate(size, kind).or_else(|| {
        emulator().engine.synchronize_device(device().ok()?).ok()?;
        memory.allocate(size, kind)
    });
    found.map(|start| start as u64).ok_or(Status::OUT_OF_MEMORY)
}

/// The device and key of a stream that is not being captured.
fn outside_capture(handle: usize) -> Res<(usize, usize)> {
    let (device, key) = stream(handle)?;
    if emulator().engine.lock().capture_of(key)?.is_some() {
        let text = "an allocation in a capture: graphs that allocate are not emulated".into();
        return Err(emulator().refuse(Status::NOT_SUPPORTED, text));
    }
    Ok((device, key))
}

fn free_now(pointer: u64) -> Res {
    if pointer == 0 {
        return Ok(());
    }
    let device = device()?;
    emulator().engine.lock().not_while_capturing()?;
    emulator().engine.synchronize_device(device)?;
    match emulator().memory.free(pointer as usize) {
        Ok(()) => Ok(()),
        Err(FreeError::Unknown) => {
            let text = format!("free: no allocation starts at {pointer:#x}");
            Err(emulator().refuse(Status::INVALID_VALUE, text))
        }
        Err(FreeError::Overrun(text)) => Err(emulator().refuse(Status::ILLEGAL_ADDRESS, text)),
    }
}

/// A device address whose range must lie inside one allocation or variable.
pub(super) fn range(start: u64, length: usize) -> Res<usize> {
    let start = start as usize;
    if length == 0 || emulator().memory.find(start, length).is_some() {
        return Ok(start);
    }
    let place = emulator().memory.describe(start).unwrap_or_else(|| "nowhere near one".into());
    let text = format!(
        "a copy or memset of {length} bytes at {start:#x} is not inside one allocation; it starts \
         {place}"
    );
    Err(emulator().refuse(Status::INVALID_VALUE, text))
}

fn is_pageable(address: usize) -> bool {
    emulator().memory.find(address, 0).is_none()
}

fn host_to_device(to: u64, from: In<u8>, length: usize, handle: usize) -> Res {
    let (_, key) = stream(handle)?;
    let to = range(to, length)?;
    let mut state = emulator().engine.lock();
    let staged = state.capture_of(key)?.is_none() && is_pageable(from.pointer() as usize);
    // Pageable memory is staged before the call returns; a graph reads it when it is launched.
    let work = match staged {
        true => Work::Write { to, bytes: Arc::from(from.read(length)?) },
        false => Work::Copy { to, from: from.pointer() as usize, length },
    };
    state.push(key, work)
}

fn device_to_host(to: usize, from: u64, length: usize, handle: usize) -> Res {
    let (_, key) = stream(handle)?;
    let from = range(from, length)?;
    let mut state = emulator().engine.lock();
    let waits = state.capture_of(key)?.is_none() && is_pageable(to);
    state.push(key, Work::Copy { to, from, length })?;
    drop(state);
    // A copy to pageable memory returns when it is complete.
    if waits { emulator().engine.synchronize(key) } else { Ok(()) }
}

fn device_to_device(to: u64, from: u64, length: usize, handle: usize) -> Res {
    let (_, key) = stream(handle)?;
    let work = Work::Copy { to: range(to, length)?, from: range(from, length)?, length };
    emulator().engine.lock().push(key, work)
}

fn fill(to: u64, value: u32, width: usize, count: usize, handle: usize) -> Res {
    let (_, key) = stream(handle)?;
    if !(to as usize).is_multiple_of(width) {
        return Err(Status::INVALID_VALUE);
    }
    let to = range(to, width * count)?;
    emulator().engine.lock().push(key, Work::Fill { to, value, width, count })
}
