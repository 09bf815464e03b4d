//! TMA copies, mbarriers and wgmma.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod common;

use common::{Device, random};
use cudarc::driver::{
    CudaSlice, DevicePtr, DeviceRepr, DriverError, LaunchConfig, PushKernelArg, sys,
};
use half::bf16;
use nasrl_cuda_emulator::Options;

const HOPPER: (&str, &str) = ("hopper.cu", include_str!("kernels/hopper.cu"));
const M: usize = 128;
const N: usize = 192;
const K: usize = 256;
/// Of sums of 256 products of bf16 numbers below one, in f32.
const SUMMED: f64 = 2e-5;

fn options() -> Options {
    Options { devices: 2, print: false, ..Options::default() }
}

/// A tensor map as a kernel's parameter.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Map(sys::CUtensorMap);
// SAFETY: passed to kernels by value.
unsafe impl DeviceRepr for Map {}

/// A map of a row-major matrix by tiles of 64 x 64 with the 128-byte swizzle.
fn map(device: &Device, matrix: &CudaSlice<bf16>, rows: usize, columns: usize) -> Map {
    let (pointer, _ordered) = matrix.device_ptr(&device.stream);
    let mut map = std::mem::MaybeUninit::<sys::CUtensorMap>::uninit();
    // SAFETY: all arrays have the two (or one) elements that rank 2 asks for.
    unsafe {
        sys::cuTensorMapEncodeTiled(
            map.as_mut_ptr(),
            sys::CUtensorMapDataType_enum::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
            2,
            pointer as *mut _,
            [columns as u64, rows as u64].as_ptr(),
            [2 * columns as u64].as_ptr(),
            [64u32, 64].as_ptr(),
            [1u32, 1].as_ptr(),
            sys::CUtensorMapInterleave_enum::CU_TENSOR_MAP_INTERLEAVE_NONE,
            sys::CUtensorMapSwizzle_enum::CU_TENSOR_MAP_SWIZZLE_128B,
            sys::CUtensorMapL2promotion_enum::CU_TENSOR_MAP_L2_PROMOTION_NONE,
            sys::CUtensorMapFloatOOBfill_enum::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
        )
        .result()
        .unwrap();
        Map(map.assume_init())
    }
}

/// The largest error of a kernel's product; NaN counts as infinite.
fn error(device: &Device, kernel: &str, options: &[&str]) -> Result<f64, DriverError> {
    let function = device.module(HOPPER, options).load_function(kernel).unwrap();
    let transposed = kernel.ends_with("_k");
    let half = |seed, count| -> Vec<bf16> {
        random(count, seed).into_iter().map(bf16::from_f32).collect()
    };
    let (a, b) = (half(5, M * K), half(6, K * N));
    let shared = 2 * 16384 + 1024;
    let limit = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    function.set_attribute(limit, shared).unwrap();
    let (da, db) = (device.stream.clone_htod(&a).unwrap(), device.stream.clone_htod(&b).unwrap());
    let mut out = device.stream.alloc_zeros::<f32>(M * N).unwrap();
    let ta = map(device, &da, M, K);
    let tb = if transposed { map(device, &db, N, K) } else { map(device, &db, K, N) };
    let (n, k) = (N as i32, K as i32);
    let mut launch = device.stream.launch_builder(&function);
    launch.arg(&mut out).arg(&da).arg(&ta).arg(&tb).arg(&n).arg(&k);
    let grid_dim = ((N / 64) as u32, (M / 64) as u32, 1);
    let shape = LaunchConfig { grid_dim, block_dim: (128, 1, 1), shared_mem_bytes: shared as u32 };
    // SAFETY: the arguments are those of the kernel.
    unsafe { launch.launch(shape) }?;
    let got = device.stream.clone_dtoh(&out)?;
    let mut worst = 0f64;
    for i in 0..M {
        for j in 0..N {
            let b = |x: usize| if transposed { b[j * K + x] } else { b[x * N + j] };
            let want: f64 = (0..K).map(|x| a[i * K + x].to_f64() * b(x).to_f64()).sum();
            let error = (f64::from(got[i * N + j]) - want).abs();
            worst = if error.is_nan() { f64::INFINITY } else { worst.max(error) };
        }
    }
    Ok(worst)
}

#[test]
fn products_by_warpgroups() {
    let device = Device::new(&options());
    for kernel in ["wgmma_ss_k", "wgmma_ss_mn", "wgmma_rs_k", "wgmma_rs_mn"] {
        let error = error(&device, kernel, &[]).unwrap();
        assert!(error <= SUMMED, "{kernel}: {error}");
    }
}

#[test]
fn a_missing_wait_shows() {
    let device = Device::of(&options(), 1);
    let error = error(&device, "wgmma_ss_k", &["-DWRONG_WAIT"]).unwrap_err();
    assert_eq!(error.0, sys::CUresult::CUDA_ERROR_LAUNCH_FAILED);
    let reports = device.emulator.reports();
    let found = |text: &str| reports.iter().any(|report| report.text.contains(text));
    assert!(found("more arrivals than expected") && found("hopper.cu:"), "{reports:?}");
}
