//! What the CUDA backend promises beside the operations, on an emulator that shows two small GPUs.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use bytemuck::NoUninit;
use nasrl_tensor::cuda::{CudaOptions, Grid, KernelCache, device_count, driver_version};
use nasrl_tensor::ops::{Activation, activation, add};
use nasrl_tensor::{Cpu, Cuda, CudaVersion, DType, Error, Memory, Tensor};
use nasrl_tests::pair::{MEMORY, emulator, gpu};

#[test]
fn driver_and_devices_are_told() {
    emulator();
    assert_eq!(driver_version().unwrap(), CudaVersion(13_000));
    assert_eq!(device_count().unwrap(), 2);
    assert!(gpu(1).name().starts_with("cuda:1 ("), "{}", gpu(1).name());
    let error = Cuda::new(2).unwrap_err();
    assert!(matches!(error, Error::NoDevice { ordinal: 2, count: 2 }), "{error}");
}

#[test]
fn tensors_move_between_devices_and_streams_only_when_asked() {
    let data: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    let cpu = Cpu::serial();
    let (first, second) = (gpu(0), gpu(1));
    let stream = first.new_stream().unwrap();
    let x = Tensor::from_slice(&cpu, [10, 100], &data).unwrap();
    let there = x.to(&first).unwrap().to(&stream).unwrap().to(&second).unwrap();
    assert_eq!(there.to(&cpu).unwrap().to_vec::<f32>().unwrap(), data);
    for other in [&stream, &second] {
        let (a, b) = (x.to(&first).unwrap(), x.to(other).unwrap());
        let error = add(&a, &b).unwrap_err();
        assert!(matches!(error, Error::OtherDevice { .. }), "{error}");
        let mut copy = first.zeros(DType::F32, 1000).unwrap();
        let error = first.copy(1000, b.buffer(), &mut copy).unwrap_err();
        assert!(matches!(error, Error::OtherDevice { .. }), "{error}");
    }
}

#[test]
fn memory_that_is_not_there_is_an_error_with_the_sizes() {
    let gpu = gpu(1);
    let held = gpu.zeros(DType::F32, MEMORY / 8).unwrap();
    let trimmed = || emulator().calls().get("cuMemPoolTrimTo").copied().unwrap_or(0);
    let before = trimmed();
    let error = gpu.zeros(DType::F32, MEMORY / 4).unwrap_err();
    assert_eq!(trimmed(), before + 1, "the pool is asked first for what it holds");
    let Error::OutOfMemory { device, asked, memory: Some(state) } = &error else {
        panic!("{error}")
    };
    assert_eq!((device, *asked), (&gpu.name(), MEMORY));
    assert!(state.free < MEMORY && state.total >= MEMORY && state.pool_used >= MEMORY / 2);
    assert!(error.to_string().contains(&state.free.to_string()), "{error}");
    drop(held);
    gpu.zeros(DType::F32, MEMORY / 8).unwrap();
    let error = gpu.zeros(DType::F32, usize::MAX / 2).unwrap_err();
    assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
}

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Scaled {
    len: u64,
    factor: f32,
    reserved: u32,
}

const SCALE: &str = r#"
#include "elementwise.cuh"
struct Scaled { u64 len; f32 factor; u32 reserved; };
extern "C" __global__ void scale(const bf16* x, f32* y, Scaled g) {
    map(g.len, x, y, [=](f32 x, u64) { return g.factor * x; });
}
"#;

#[test]
fn a_kernel_of_ones_own_runs_on_tensors() {
    let gpu = gpu(0);
    let scale = gpu.custom_kernels("scale.cu", SCALE).unwrap();
    let error = scale.kernel("scala").unwrap_err();
    assert!(matches!(error, Error::Kernel { .. }), "{error}");
    let scale = scale.kernel("scale").unwrap();
    let data: Vec<f32> = (0..2500).map(|i| (i % 100) as f32).collect();
    let x = Tensor::from_slice(&gpu, 2500, &data).unwrap().cast(DType::BF16).unwrap();
    let mut y = Tensor::zeros(&gpu, DType::F32, 2500).unwrap();
    let geometry = Scaled { len: 2500, factor: 0.5, reserved: 0 };
    let grid = Grid::over(2500, 2048);
    // SAFETY: `scale` reads bf16 and writes f32, 2500 of each.
    unsafe {
        gpu.launch_custom(&scale, grid, &[x.buffer()], &mut [y.buffer_mut().unwrap()], geometry)
    }
    .unwrap();
    let halves: Vec<f32> = data.iter().map(|x| 0.5 * x).collect();
    assert_eq!(y.to_vec::<f32>().unwrap(), halves);
    // SAFETY: refused before anything runs.
    let error = unsafe { gpu.launch_custom(&scale, grid, &[], &mut [], 0u32) }.unwrap_err();
    assert!(matches!(error, Error::Kernel { .. }), "{error}");
}

#[test]
fn what_the_compiler_says_is_in_the_error() {
    let error = gpu(0).custom_kernels("broken.cu", "\n__global__ void k() { int x = y; }\n");
    let Err(Error::Compile { source_name, architecture, log }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!((source_name.as_str(), architecture.as_str()), ("broken.cu", "sm_90a"));
    assert!(log.contains("broken.cu") && log.contains('y'), "{log}");
}

#[test]
fn compiled_kernels_come_from_the_cache() {
    emulator();
    let folder = tempfile::tempdir().unwrap();
    let cache = KernelCache::Folder(folder.path().to_owned());
    let options = CudaOptions { cache, ..CudaOptions::default() };
    let relu = || {
        let gpu = Cuda::with_options(&options).unwrap();
        let x = Tensor::from_slice(&gpu, 2, &[-1.0f32, 2.0]).unwrap();
        activation(&x, Activation::Relu).unwrap().to_vec::<f32>().unwrap()
    };
    let files = || -> Vec<_> {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    assert_eq!(relu(), [0.0, 2.0]);
    let [file] = &files()[..] else { panic!("{:?}", files()) };
    let stored = std::fs::read(file).unwrap();
    assert_eq!(relu(), [0.0, 2.0]);
    // What the driver refuses is compiled again and replaced.
    std::fs::write(file, b"torn\0").unwrap();
    assert_eq!(relu(), [0.0, 2.0]);
    assert_eq!(std::fs::read(file).unwrap(), stored);
    assert_eq!(files().len(), 1);
}

#[test]
fn a_launch_that_is_refused_names_its_kernel() {
    let gpu = gpu(0);
    let x = Tensor::from_slice(&gpu, 2, &[-1.0f32, 2.0]).unwrap();
    emulator().fail_launch("add_f32", 1);
    let error = add(&x, &x).unwrap_err();
    let Error::Cuda { during, code, .. } = &error else { panic!("{error}") };
    assert!(during.contains("add_f32") && code.contains("INVALID_VALUE"), "{error}");
    assert_eq!(add(&x, &x).unwrap().to_vec::<f32>().unwrap(), [-2.0, 4.0]);
}
