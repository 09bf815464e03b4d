//! Launches that are executed again in other orders of blocks and threads.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod common;

use common::{Device, outcome, shape};
use cudarc::driver::PushKernelArg;
use cudarc::driver::sys::CUresult;
use nasrl_cuda_emulator::Options;
use std::sync::atomic::{AtomicUsize, Ordering};

const ORDERED: (&str, &str) = ("ordered.cu", include_str!("kernels/ordered.cu"));
const BLOCKS: u32 = 7;

/// What a kernel makes of zeros, twice, on a device that no other test uses.
fn result(kernel: &str) -> Result<Vec<f32>, CUresult> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let options = Options { devices: 8, repeats: 2, print: false, ..Options::default() };
    let device = Device::of(&options, NEXT.fetch_add(1, Ordering::Relaxed));
    let function = device.module(ORDERED, &[]).load_function(kernel).unwrap();
    let mut y = device.stream.alloc_zeros::<f32>(64).unwrap();
    for _ in 0..2 {
        let mut launch = device.stream.launch_builder(&function);
        launch.arg(&mut y);
        // SAFETY: the argument is that of the kernel.
        let launched = unsafe { launch.launch(shape(BLOCKS, 32, 0)) };
        outcome(launched, &device.stream)?;
    }
    let launches = device.emulator.launches();
    let recorded = launches.iter().filter(|launch| launch.kernel == kernel).count();
    assert_eq!(recorded, 2, "a launch is one, however often it is executed");
    Ok(device.stream.clone_dtoh(&y).unwrap())
}

#[test]
fn results_that_depend_on_the_order_are_refused() {
    for kernel in ["adds_floats", "last_thread_writes", "last_block_writes"] {
        assert_eq!(result(kernel), Err(CUresult::CUDA_ERROR_LAUNCH_FAILED), "{kernel}");
    }
}

#[test]
fn a_launch_finds_the_memory_that_the_one_before_left() {
    let sum = |from: f32| (0..BLOCKS).fold(from, |sum, block| sum + 1.0 / (1 + block) as f32);
    assert_eq!(result("adds_in_order").unwrap()[0], sum(sum(0.0)));
}
