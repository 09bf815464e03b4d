//! Kernels that fail without any checking: each gives its error and a report with the line.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod common;

use common::{Device, WRONG, line_of, outcome, shape};
use cudarc::driver::PushKernelArg;
use cudarc::driver::sys::CUresult;
use nasrl_cuda_emulator::Options;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Runs a kernel on a device of its own, whose error must stay.
fn fails(kernel: &str, error: CUresult, texts: &[&str]) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let options = Options {
        devices: 16,
        spin_limit: Duration::from_millis(200),
        print: false,
        ..Options::default()
    };
    let device = Device::of(&options, NEXT.fetch_add(1, Ordering::Relaxed));
    let function = device.module(WRONG, &[]).load_function(kernel).unwrap();
    let mut y = device.stream.alloc_zeros::<f32>(256).unwrap();
    let mut launch = device.stream.launch_builder(&function);
    launch.arg(&mut y);
    // SAFETY: the argument is that of the kernel.
    let launched = unsafe { launch.launch(shape(3, 256, 0)) };
    assert_eq!(outcome(launched, &device.stream), Err(error), "{kernel}");
    assert_eq!(device.stream.synchronize().unwrap_err().0, error, "{kernel}");
    assert_eq!(device.context.synchronize().unwrap_err().0, error, "{kernel}");
    let reports = device.emulator.reports();
    let report = reports.iter().find(|report| report.kernel.as_deref() == Some(kernel));
    let text = &report.expect("a report").text;
    for part in texts {
        assert!(text.contains(part), "{kernel}: no {part:?} in {text}");
    }
}

#[test]
fn invalid_addresses() {
    let line = line_of(WRONG, "far_outside");
    fails("far_outside", CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, &["invalid address", &line]);
    let line = line_of(WRONG, "overflows_its_stack");
    let texts = ["stack overflow", "overflows_its_stack"];
    fails("overflows_its_stack", CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, &texts);
    assert!(line.starts_with("wrong.cu:"));
}

#[test]
fn assertions() {
    let texts = ["threadIdx.x < 17", "thread [17, 0, 0]", &line_of(WRONG, "asserts")];
    fails("asserts", CUresult::CUDA_ERROR_ASSERT, &texts);
}

#[test]
fn deadlocks_are_told_by_line() {
    let texts = [
        "deadlock: 256 threads",
        "100 threads, the first [0, 0, 0], in __syncthreads",
        "156 threads, the first [100, 0, 0], in barrier 3",
        &line_of(WRONG, "deadlocks"),
    ];
    fails("deadlocks", CUresult::CUDA_ERROR_LAUNCH_FAILED, &texts);
}

#[test]
fn collectives_without_all_their_lanes() {
    let error = CUresult::CUDA_ERROR_LAUNCH_FAILED;
    fails("leaves_a_shuffle", error, &["mask 0xffffffff", "exited"]);
    fails("mixes_operations", error, &["different operations"]);
}

#[test]
fn endless_spinning() {
    fails("spins", CUresult::CUDA_ERROR_LAUNCH_TIMEOUT, &["still spin after 200ms"]);
}
