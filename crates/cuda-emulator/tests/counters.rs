//! Counters of launches, against figures worked out by hand.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod common;

use common::{Device, GEMM, line_of, shape};
use cudarc::driver::sys::CUfunction_attribute_enum;
use cudarc::driver::{LaunchConfig, PushKernelArg};
use nasrl_cuda_emulator::{Counters, Options};
use std::sync::{Mutex, PoisonError};

const COUNTED: (&str, &str) = ("counted.cu", include_str!("kernels/counted.cu"));

/// Launches are recorded for the whole process, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn device() -> Device {
    Device::new(&Options { count: true, ..Options::default() })
}

fn last(device: &Device) -> Counters {
    device.stream.synchronize().unwrap();
    let launches = device.emulator.launches();
    launches.last().and_then(|launch| launch.counters.clone()).expect("a counted launch")
}

#[test]
fn vectors_are_one_access() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = device();
    let module = device.module(COUNTED, &[]);
    let x = device.stream.alloc_zeros::<f32>(2 * 64 * 4).unwrap();
    let mut y = device.stream.alloc_zeros::<f32>(2 * 64 * 4).unwrap();
    let a = 2f32;
    for kernel in ["scale4", "copy4", "halves", "halves_cast"] {
        let function = module.load_function(kernel).unwrap();
        let mut launch = device.stream.launch_builder(&function);
        launch.arg(&mut y).arg(&x);
        if kernel == "scale4" {
            launch.arg(&a);
        }
        // SAFETY: the arguments are those of the kernel.
        unsafe { launch.launch(shape(2, 64, 0)) }.unwrap();
        let want = Counters {
            global_bytes_read: 2 * 64 * 16,
            global_bytes_written: 2 * 64 * 16,
            global_sectors_read: 2 * 64 / 2,
            global_sectors_written: 2 * 64 / 2,
            global_distinct_sectors_read: 2 * 64 / 2,
            global_distinct_sectors_written: 2 * 64 / 2,
            global_widths: [0, 0, 0, 0, 2 * 2 * 64],
            ..Counters::default()
        };
        assert_eq!(last(&device), want, "{kernel}");
    }
}

#[test]
fn bank_conflicts_have_lines() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = device();
    let function = device.module(COUNTED, &[]).load_function("strided").unwrap();
    let mut y = device.stream.alloc_zeros::<f32>(3 * 64).unwrap();
    for (stride, passes) in [(1i32, 1), (2, 2), (3, 1), (8, 8), (32, 32)] {
        let mut launch = device.stream.launch_builder(&function);
        launch.arg(&mut y).arg(&stride);
        // SAFETY: the arguments are those of the kernel.
        unsafe { launch.launch(shape(3, 64, 64 * 4 * stride as u32)) }.unwrap();
        let counters = last(&device);
        // Three blocks of two warps, each of which writes and reads.
        assert_eq!(counters.shared_passes, 3 * 2 * 2 * passes, "stride {stride}");
        assert_eq!(counters.shared_bank_conflicts, 3 * 2 * 2 * (passes - 1), "stride {stride}");
        let line = counters.bank_conflict_lines.get(&line_of(COUNTED, "strided")).copied();
        assert_eq!(line, (passes > 1).then(|| 3 * 2 * (passes - 1)), "stride {stride}");
    }
}

#[test]
fn a_matrix_product() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = device();
    let function = device.module(GEMM, &[]).load_function("gemm_bf16").unwrap();
    let (m, n, k) = (128i32, 64i32, 96i32);
    let shared = 2 * (64 * 40 + 32 * 72) * 2;
    let limit = CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    function.set_attribute(limit, shared).unwrap();
    let a = device.stream.alloc_zeros::<u16>((m * k) as usize).unwrap();
    let b = device.stream.alloc_zeros::<u16>((k * n) as usize).unwrap();
    let mut out = device.stream.alloc_zeros::<f32>((m * n) as usize).unwrap();
    let mut launch = device.stream.launch_builder(&function);
    launch.arg(&mut out).arg(&a).arg(&b).arg(&m).arg(&n).arg(&k);
    let grid_dim = (n as u32 / 64, m as u32 / 64, 1);
    let shape = LaunchConfig { grid_dim, block_dim: (128, 1, 1), shared_mem_bytes: shared as u32 };
    // SAFETY: the arguments are those of the kernel.
    unsafe { launch.launch(shape) }.unwrap();
    let counters = last(&device);
    let (m, n, k) = (m as u64, n as u64, k as u64);
    assert_eq!(counters.mma_multiply_adds, m * n * k);
    assert_eq!(counters.mma, m * n * k / (16 * 8 * 16));
    assert_eq!(counters.global_bytes_read, 2 * (m * k + m / 64 * k * n));
    assert_eq!(counters.global_bytes_written, 4 * m * n);
    // Both blocks read all of b.
    assert_eq!(counters.global_distinct_sectors_read, 2 * (m * k + k * n) / 32);
    assert_eq!(counters.global_distinct_sectors_written, 4 * m * n / 32);
    assert_eq!(counters.global_widths[4], counters.global_bytes_read / 16);
    assert_eq!(counters.global_widths[3], counters.global_bytes_written / 8);
    // Two rows of 64 bytes, 80 bytes apart, take two passes when they are copied; reads have none.
    assert_eq!(counters.shared_bank_conflicts, m * k / 64);
    let lines: Vec<&String> = counters.bank_conflict_lines.keys().collect();
    assert!(lines.len() == 1 && lines[0].contains("gemm.cu:15"), "{lines:?}");
}
