//! Initialization, devices, contexts.

use super::ffi::Out;
use super::{CURRENT, INITIALIZED, api, context_device, context_handle, device, initialized};
use crate::emulator::emulator;
use crate::status::{Res, Status};
use std::collections::BTreeMap;
use std::ffi::{c_char, c_int, c_uint};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

/// Limits that were set, by context and number.
static LIMITS: Mutex<BTreeMap<(usize, c_int), usize>> = Mutex::new(BTreeMap::new());
const CACHE_CONFIG: c_int = -1;

api! {
    fn cuInit(_flags: c_uint) {
        if emulator().options.devices == 0 {
            return Err(Status::NO_DEVICE);
        }
        INITIALIZED.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn cuDriverGetVersion(version: Out<c_int>) {
        version.set(emulator().options.driver_version)
    }

    fn cuGetErrorName(error: c_uint, name: Out<*const c_char>) {
        name.set(Status::texts(error).ok_or(Status::INVALID_VALUE)?.0.as_ptr())
    }

    fn cuGetErrorString(error: c_uint, text: Out<*const c_char>) {
        text.set(Status::texts(error).ok_or(Status::INVALID_VALUE)?.1.as_ptr())
    }

    fn cuDeviceGet(device: Out<c_int>, ordinal: c_int) {
        initialized()?;
        existing(ordinal)?;
        device.set(ordinal)
    }

    fn cuDeviceGetCount(count: Out<c_int>) {
        initialized()?;
        count.set(emulator().options.devices as c_int)
    }

    fn cuDeviceGetName(name: Out<c_char>, length: c_int, device: c_int) {
        existing(device)?;
        let text = format!("CPU emulator {device}");
        let kept = text.bytes().take(usize::try_from(length).unwrap_or(0).saturating_sub(1));
        let bytes: Vec<c_char> = kept.chain([0]).map(|byte| byte as c_char).collect();
        name.set_all(&bytes);
        Ok(())
    }

    fn cuDeviceGetUuid(uuid: Out<[u8; 16]>, device: c_int) {
        uuid.set(device_uuid(device)?)
    }

    fn cuDeviceGetUuid_v2(uuid: Out<[u8; 16]>, device: c_int) {
        uuid.set(device_uuid(device)?)
    }

    fn cuDeviceGetPCIBusId(id: Out<c_char>, length: c_int, device: c_int) {
        existing(device)?;
        let text = format!("0000:{device:02x}:00.0\0");
        if text.len() > usize::try_from(length).unwrap_or(0) {
            return Err(Status::INVALID_VALUE);
        }
        let bytes: Vec<c_char> = text.bytes().map(|byte| byte as c_char).collect();
        id.set_all(&bytes);
        Ok(())
    }

    fn cuDeviceTotalMem_v2(bytes: Out<usize>, device: c_int) {
        existing(device)?;
        bytes.set(emulator().options.memory)
    }

    fn cuDeviceGetAttribute(value: Out<c_int>, attribute: c_int, device: c_int) {
        initialized()?;
        let device = existing(device)?;
        value.set(device_attribute(attribute, device))
    }

    fn cuDeviceCanAccessPeer(can: Out<c_int>, device: c_int, peer: c_int) {
        existing(device)?;
        existing(peer)?;
        can.set(0)
    }

    fn cuDevicePrimaryCtxRetain(context: Out<usize>, device: c_int) {
        initialized()?;
        context.set(context_handle(existing(device)?))
    }

    fn cuDevicePrimaryCtxRelease_v2(device: c_int) {
        existing(device).map(drop)
    }

    fn cuDevicePrimaryCtxGetState(device: c_int, flags: Out<c_uint>, active: Out<c_int>) {
        existing(device)?;
        flags.set_if_wanted(0);
        active.set(1)
    }

    fn cuCtxGetCurrent(context: Out<usize>) {
        initialized()?;
        context.set(CURRENT.get())
    }

    fn cuCtxSetCurrent(context: usize) {
        initialized()?;
        if context != 0 {
            context_device(context)?;
        }
        CURRENT.set(context);
        Ok(())
    }

    fn cuCtxGetDevice(ordinal: Out<c_int>) {
        ordinal.set(device()? as c_int)
    }

    fn cuCtxSynchronize() {
        let device = device()?;
        emulator().engine.lock().nothing_is_captured()?;
        emulator().engine.synchronize_device(device)
    }

    fn cuCtxSetFlags(_flags: c_uint) {
        device().map(drop)
    }

    fn cuCtxGetLimit(value: Out<usize>, limit: c_int) {
        value.set(limit_of(device()?, limit))
    }

    fn cuCtxSetLimit(limit: c_int, value: usize) {
        set_limit(device()?, limit, value);
        Ok(())
    }

    fn cuCtxGetCacheConfig(config: Out<c_int>) {
        config.set(limit_of(device()?, CACHE_CONFIG) as c_int)
    }

    fn cuCtxSetCacheConfig(config: c_int) {
        set_limit(device()?, CACHE_CONFIG, config as usize);
        Ok(())
    }

    fn cuCtxGetStreamPriorityRange(least: Out<c_int>, greatest: Out<c_int>) {
        device()?;
        least.set_if_wanted(0);
        greatest.set_if_wanted(-5);
        Ok(())
    }

    fn cuProfilerStart() {
        Ok(())
    }

    fn cuProfilerStop() {
        Ok(())
    }
}

/// Most dynamic and static shared memory of a block together, for kernels that ask for it.
pub(super) fn max_shared() -> usize {
    let kib = match emulator().options.compute_capability {
        (8, 0 | 7) => 163,
        (8, _) => 99,
        (9.., _) => 227,
        _ => 64,
    };
    kib << 10
}

fn existing(device: c_int) -> Res<usize> {
    let ordinal = usize::try_from(device).ok();
    let ordinal = ordinal.filter(|ordinal| *ordinal < emulator().options.devices);
    ordinal.ok_or(Status::INVALID_DEVICE)
}

fn device_uuid(device: c_int) -> Res<[u8; 16]> {
    let mut uuid = *b"nasrl-emulator-0";
    uuid[15] += existing(device)? as u8;
    Ok(uuid)
}

fn limit_of(device: usize, limit: c_int) -> usize {
    let limits = LIMITS.lock().unwrap_or_else(PoisonError::into_inner);
    limits.get(&(device, limit)).copied().unwrap_or(if limit == CACHE_CONFIG { 0 } else { 1024 })
}

fn set_limit(device: usize, limit: c_int, value: usize) {
    LIMITS.lock().unwrap_or_else(PoisonError::into_inner).insert((device, limit), value);
}

/// Values of `CUdevice_attribute`, those of a data-centre device of the chosen capability. What
/// the emulator does not offer is 0.
fn device_attribute(attribute: c_int, device: usize) -> c_int {
    let options = &emulator().options;
    match attribute {
        // Threads of a block, in all and by axis; blocks of a grid by axis.
        1..=3 => 1024,
        4 => 64,
        5 => i32::MAX,
        6 | 7 => 65_535,
        // Shared memory of a block without asking; constant memory; lanes of a warp; pitch.
        8 => 48 << 10,
        9 => 64 << 10,
        10 => 32,
        11 => i32::MAX,
        // Registers of a block; clock in kHz; texture alignment.
        12 | 82 => 65_536,
        13 => 1_000_000,
        14 => 512,
        // Overlap, host mapping, concurrent kernels, unified addressing, stream priorities, caching
        // of globals and locals, managed memory and its concurrent use, cooperative launches, host
        // registration, virtual memory, memory pools.
        15 | 19 | 31 | 41 | 78 | 79 | 80 | 83 | 89 | 95 | 99 | 115 => 1,
        16 => options.multiprocessors as c_int,
        // Position on the bus.
        33 => device as c_int,
        // Memory clock in kHz, bus width in bits, L2 bytes.
        36 => 1_000_000,
        37 => 512,
        38 => 50 << 20,
        // Threads of a multiprocessor; copy engines.
        39 => 2048,
        40 => 2,
        75 => options.compute_capability.0,
        76 => options.compute_capability.1,
        // Shared memory of a multiprocessor, of a block on request, reserved a block.
        81 => (max_shared() + 1024) as c_int,
        97 => max_shared() as c_int,
        106 => 32,
        111 => 1024,
        _ => 0,
    }
}
