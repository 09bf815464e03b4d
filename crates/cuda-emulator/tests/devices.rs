//! Two small devices under an old driver; failures that a test orders.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod common;

use common::{BASIC, Device, shape};
use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaContext, PushKernelArg};
use nasrl_cuda_emulator::Options;
use std::sync::{Mutex, PoisonError};

const MEMORY: usize = 1 << 20;

/// The memory of the devices is counted, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn options() -> Options {
    Options {
        devices: 3,
        memory: MEMORY,
        driver_version: 12_040,
        compute_capability: (8, 0),
        print: false,
        ..Options::default()
    }
}

#[test]
fn the_driver_is_as_old_as_asked_for() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::new(&options());
    let mut version = 0;
    // SAFETY: the place is writable.
    unsafe { cudarc::driver::sys::cuDriverGetVersion(&mut version) }.result().unwrap();
    assert_eq!(version, 12_040);
    assert_eq!(device.context.compute_capability().unwrap(), (8, 0));
    assert_eq!(CudaContext::device_count().unwrap(), 3);
    assert!(CudaContext::new(3).is_err());
}

#[test]
fn devices_have_memory_of_their_own() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let first = Device::new(&options());
    let second = CudaContext::new(1).unwrap();
    let stream = second.new_stream().unwrap();
    let used = |context: &CudaContext| {
        context.bind_to_thread().unwrap();
        let (free, total) = cudarc::driver::result::mem_get_info().unwrap();
        assert_eq!(total, MEMORY);
        total - free
    };
    let there = stream.clone_htod(&[1u8, 2, 3]).unwrap();
    assert_eq!((used(&first.context), used(&second)), (0, 256));
    let mut here = first.stream.alloc_zeros::<u8>(3).unwrap();
    first.stream.memcpy_dtod(&there, &mut here).unwrap();
    assert_eq!(first.stream.clone_dtoh(&here).unwrap(), [1, 2, 3]);
    drop((there, here));
    stream.synchronize().unwrap();
    first.stream.synchronize().unwrap();
    assert_eq!((used(&first.context), used(&second)), (0, 0));
}

#[test]
fn a_full_device_says_so_and_frees_under_way_count() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::new(&options());
    let most = device.stream.alloc_zeros::<u8>(MEMORY - 256).unwrap();
    let refused = device.stream.alloc_zeros::<u8>(257).unwrap_err();
    assert_eq!(refused.0, CUresult::CUDA_ERROR_OUT_OF_MEMORY);
    drop(most);
    let again = device.stream.alloc_zeros::<u8>(MEMORY).unwrap();
    drop(again);
    device.stream.synchronize().unwrap();
}

#[test]
fn allocations_fail_when_ordered() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::new(&options());
    device.emulator.fail_allocations(1);
    let first = device.stream.alloc_zeros::<u8>(1).unwrap();
    let refused = device.stream.alloc_zeros::<u8>(1).unwrap_err();
    assert_eq!(refused.0, CUresult::CUDA_ERROR_OUT_OF_MEMORY);
    device.emulator.fail_allocations(usize::MAX);
    drop((first, device.stream.alloc_zeros::<u8>(1).unwrap()));
    device.stream.synchronize().unwrap();
}

#[test]
fn launches_fail_when_ordered_and_errors_of_kernels_stay() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::new(&options());
    let context = CudaContext::new(2).unwrap();
    let stream = context.new_stream().unwrap();
    let image = common::compile(BASIC, &[]).unwrap();
    let function = context.load_module(image).unwrap().load_function("atomics").unwrap();
    let mut out = stream.alloc_zeros::<i32>(3).unwrap();
    let mut run = || {
        let mut launch = stream.launch_builder(&function);
        launch.arg(&mut out);
        // SAFETY: the argument is that of the kernel.
        unsafe { launch.launch(shape(1, 32, 0)) }.map(drop).map_err(|error| error.0)
    };
    device.emulator.fail_launch("atomics", 2);
    assert_eq!(run(), Err(CUresult::CUDA_ERROR_OUT_OF_MEMORY));
    assert_eq!(run(), Ok(()));
    assert!(stream.synchronize().is_ok());
    device.emulator.fail_launch("atomics", 719);
    assert_eq!(
        run().and_then(|()| stream.synchronize().map_err(|error| error.0)),
        Err(CUresult::CUDA_ERROR_LAUNCH_FAILED)
    );
    assert_eq!(stream.synchronize().unwrap_err().0, CUresult::CUDA_ERROR_LAUNCH_FAILED);
    assert_eq!(run(), Err(CUresult::CUDA_ERROR_LAUNCH_FAILED));
    assert!(device.stream.synchronize().is_ok(), "another device goes on");
}
