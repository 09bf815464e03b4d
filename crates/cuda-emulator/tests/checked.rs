//! Kernels with a mistake each, in checked mode: every one must be stopped, with a report that
//! names it, a thread and the source line.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod common;

use common::{BASIC, Device, GEMM, WRONG, line_of, outcome, shape};
use cudarc::driver::sys::{CUfunction_attribute_enum, CUresult};
use cudarc::driver::{CudaSlice, LaunchConfig, PushKernelArg};
use half::bf16;
use nasrl_cuda_emulator::Options;
use std::sync::atomic::{AtomicUsize, Ordering};

const THREADS: u32 = 256;

/// A device that no other test of this process uses: it will fail for good.
fn device() -> Device {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let options = Options { devices: 64, checked: true, print: false, ..Options::default() };
    Device::of(&options, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs a kernel on `y` and expects an error and a report with all of these texts.
fn caught(device: &Device, kernel: &str, y: &CudaSlice<f32>, error: CUresult, texts: &[&str]) {
    let function = device.module(WRONG, &[]).load_function(kernel).unwrap();
    let n = y.len() as i32;
    let mut launch = device.stream.launch_builder(&function);
    launch.arg(y);
    if kernel == "one_too_many" {
        launch.arg(&n);
    }
    // SAFETY: the arguments are those of the kernel.
    let launched = unsafe { launch.launch(shape(3, THREADS, 1024)) };
    assert_eq!(outcome(launched, &device.stream), Err(error), "{kernel}");
    let reports = device.emulator.reports();
    let report = reports.iter().find(|report| report.kernel.as_deref() == Some(kernel));
    let text = &report.expect("a report").text;
    for part in ["thread [", &format!("kernel {kernel}")].iter().chain(texts) {
        assert!(text.contains(part), "{kernel}: no {part:?} in {text}");
    }
}

/// Runs a kernel on its own and expects what it says about the marked line.
fn stopped(kernel: &str, error: CUresult, text: &str) {
    let device = device();
    let y = device.stream.alloc_zeros::<f32>(4 * THREADS as usize).unwrap();
    caught(&device, kernel, &y, error, &[text, &line_of(WRONG, kernel)]);
}

#[test]
fn accesses_outside_global_memory() {
    let device = device();
    let y = device.stream.alloc_zeros::<f32>(100).unwrap();
    let text = "invalid write of 4 bytes";
    let line = line_of(WRONG, "one_too_many");
    let error = CUresult::CUDA_ERROR_ILLEGAL_ADDRESS;
    caught(&device, "one_too_many", &y, error, &[text, "0 bytes past the end of a buffer", &line]);
    stopped("reads_before", error, "4 bytes before a buffer");
    stopped("another_threads_local", error, "the local memory of another thread");
}

#[test]
fn use_after_free() {
    let device = device();
    let y = device.stream.alloc_zeros::<f32>(256).unwrap();
    let function = device.module(WRONG, &[]).load_function("keeps_a_pointer").unwrap();
    let pointer = y.leak();
    // SAFETY: allocated above; the kernel's use of it below is the mistake under test.
    unsafe { cudarc::driver::result::free_sync(pointer) }.unwrap();
    // SAFETY: a pointer is what the kernel expects; that it is stale is the mistake under test.
    let launched =
        unsafe { device.stream.launch_builder(&function).arg(&pointer).launch(shape(1, 32, 0)) };
    let error = Err(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_eq!(outcome(launched, &device.stream), error);
    let reports = device.emulator.reports();
    let line = line_of(WRONG, "keeps_a_pointer");
    let found = |r: &nasrl_cuda_emulator::Report| {
        r.text.contains("0 bytes into a freed buffer") && r.text.contains(&line)
    };
    assert!(reports.iter().any(found), "{reports:?}");
}

#[test]
fn accesses_outside_shared_memory() {
    stopped("outside_shared", CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, "at 1024 of 1024 bytes");
}

#[test]
fn unwritten_shared_memory() {
    stopped("reads_unwritten", CUresult::CUDA_ERROR_LAUNCH_FAILED, "no thread of the block has");
}

#[test]
fn races() {
    let error = CUresult::CUDA_ERROR_LAUNCH_FAILED;
    stopped("forgets_syncthreads", error, "write-after-read race");
    stopped("forgets_syncwarp", error, "read-after-write race");
    stopped("overwrites_too_early", error, "write-after-read race");
    stopped("both_write", error, "write-after-write race");
}

#[test]
fn named_barriers_order_the_warps_that_meet() {
    let error = CUresult::CUDA_ERROR_LAUNCH_FAILED;
    stopped("forgets_to_hand_back", error, "race: 4 bytes at offset");
    let device = device();
    let function = device.module(WRONG, &[]).load_function("hands_back").unwrap();
    let mut y = device.stream.alloc_zeros::<f32>(3 * 128).unwrap();
    let mut launch = device.stream.launch_builder(&function);
    launch.arg(&mut y);
    // SAFETY: the argument is that of the kernel.
    let launched = unsafe { launch.launch(shape(1, THREADS, 1024)) };
    assert_eq!(outcome(launched, &device.stream), Ok(()));
    let want: Vec<f32> = (0..3 * 128).map(|i| (i / 128) as f32).collect();
    assert_eq!(device.stream.clone_dtoh(&y).unwrap(), want);
}

#[test]
fn races_in_global_memory() {
    let error = CUresult::CUDA_ERROR_LAUNCH_FAILED;
    stopped("blocks_overlap", error, "thread 255 of block 0");
    stopped("reads_a_neighbour", error, "race in global memory");
    stopped("races_in_global", error, "write-after-read race in global memory");
}

#[test]
fn a_ticket_orders_blocks() {
    let device = device();
    let function = device.module(WRONG, &[]).load_function("ticket").unwrap();
    let mut sum = device.stream.alloc_zeros::<f32>(1).unwrap();
    let mut parts = device.stream.alloc_zeros::<f32>(5).unwrap();
    let mut count = device.stream.alloc_zeros::<u32>(1).unwrap();
    let mut launch = device.stream.launch_builder(&function);
    launch.arg(&mut sum).arg(&mut parts).arg(&mut count);
    // SAFETY: the arguments are those of the kernel.
    let launched = unsafe { launch.launch(shape(5, 64, 0)) };
    assert_eq!(outcome(launched, &device.stream), Ok(()));
    assert_eq!(device.stream.clone_dtoh(&sum).unwrap(), [15.0]);
}

#[test]
fn hazards_of_asynchronous_copies_and_alignment() {
    let text = "an asynchronous copy is still filling";
    stopped("forgets_the_wait", CUresult::CUDA_ERROR_LAUNCH_FAILED, text);
    let error = CUresult::CUDA_ERROR_MISALIGNED_ADDRESS;
    stopped("misaligned_word", error, "misaligned access of 4 bytes");
    stopped("misaligned_vector", error, "misaligned access of 16 bytes");
    let device = device();
    let y = device.stream.alloc_zeros::<f32>(1024).unwrap();
    let line = line_of(WRONG, "copies_misaligned");
    caught(&device, "copies_misaligned", &y, error, &["misaligned", &line]);
}

/// Runs the matrix product with an option.
fn product(option: &str) -> Result<(), CUresult> {
    let device = device();
    let function = device.module(GEMM, &[option]).load_function("gemm_bf16").unwrap();
    let (m, n, k) = (64, 64, 128);
    let shared = 2 * (64 * 40 + 32 * 72) * 2;
    let limit = CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    function.set_attribute(limit, shared).unwrap();
    let a = device.stream.clone_htod(&vec![bf16::ONE; (m * k) as usize]).unwrap();
    let b = device.stream.clone_htod(&vec![bf16::ONE; (k * n) as usize]).unwrap();
    let mut out = device.stream.alloc_zeros::<f32>((m * n) as usize).unwrap();
    let mut launch = device.stream.launch_builder(&function);
    launch.arg(&mut out).arg(&a).arg(&b).arg(&m).arg(&n).arg(&k);
    let grid_dim = (n as u32 / 64, m as u32 / 64, 1);
    let shape = LaunchConfig { grid_dim, block_dim: (128, 1, 1), shared_mem_bytes: shared as u32 };
    // SAFETY: the arguments are those of the kernel.
    let launched = unsafe { launch.launch(shape) };
    outcome(launched, &device.stream)?;
    let got = device.stream.clone_dtoh(&out).unwrap();
    assert!(got.iter().all(|v| *v == k as f32), "sums of ones");
    Ok(())
}

#[test]
fn a_pipeline_with_a_wrong_wait_or_barrier() {
    assert_eq!(product("-DRIGHT"), Ok(()));
    assert_eq!(product("-DWRONG_WAIT"), Err(CUresult::CUDA_ERROR_LAUNCH_FAILED));
    assert_eq!(product("-DWRONG_BARRIER"), Err(CUresult::CUDA_ERROR_LAUNCH_FAILED));
}

#[test]
fn memory_of_another_device() {
    let (device, other) = (device(), device());
    let y = other.stream.alloc_zeros::<f32>(4 * THREADS as usize).unwrap();
    let (pointer, texts) = (y.leak(), ["memory of another device"]);
    // SAFETY: the buffer lives on; that it is elsewhere is the mistake under test.
    let y = unsafe { device.stream.upgrade_device_ptr::<f32>(pointer, 4 * THREADS as usize) };
    caught(&device, "keeps_a_pointer", &y, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS, &texts);
}

#[test]
fn right_kernels_are_not_reported() {
    let device = device();
    let function = device.module(WRONG, &[]).load_function("all_in_order").unwrap();
    let mut y = device.stream.clone_htod(&vec![3.0f32; THREADS as usize]).unwrap();
    let mut launch = device.stream.launch_builder(&function);
    launch.arg(&mut y);
    // SAFETY: the argument is that of the kernel.
    unsafe { launch.launch(shape(1, THREADS, 1024)) }.unwrap();
    let want: Vec<f32> = (0..THREADS).map(|i| (i ^ 1) as f32 + 3.0 + THREADS as f32).collect();
    assert_eq!(device.stream.clone_dtoh(&y).unwrap(), want);

    let softmax = device.module(BASIC, &[]).load_function("softmax").unwrap();
    let mut out = device.stream.alloc_zeros::<f32>(2 * 300).unwrap();
    let (x, columns) = (device.stream.clone_htod(&vec![1.0f32; 2 * 300]).unwrap(), 300i32);
    let mut launch = device.stream.launch_builder(&softmax);
    launch.arg(&mut out).arg(&x).arg(&columns);
    // SAFETY: the arguments are those of the kernel.
    unsafe { launch.launch(shape(2, 256, 0)) }.unwrap();
    let got = device.stream.clone_dtoh(&out).unwrap();
    assert!(got.iter().all(|v| (v * 300.0 - 1.0).abs() < 1e-5));
}
