//! An error of the GPU itself, which ends the process's use of it: a process of its own.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use nasrl_cuda_emulator::{Options, install};
use nasrl_tensor::cuda::{CudaOptions, KernelCache, Launches};
use nasrl_tensor::ops::{Activation, activation, add};
use nasrl_tensor::{Cuda, Error, Tensor};

#[test]
fn an_awaited_launch_names_the_kernel_that_faults() {
    let emulator = install(&Options { print: false, ..Options::default() }).unwrap();
    let (launches, cache) = (Launches::Awaited, KernelCache::Nowhere);
    let gpu = Cuda::with_options(&CudaOptions { ordinal: 0, launches, cache }).unwrap();
    let x = Tensor::from_slice(&gpu, 2, &[-1.0f32, 2.0]).unwrap();
    emulator.fail_launch("activation_f32", 700);
    let doubled = add(&x, &x).unwrap();
    let error = activation(&doubled, Activation::Relu).unwrap_err();
    let Error::Cuda { during, code, .. } = &error else { panic!("{error}") };
    assert!(during.contains("activation_f32"), "{error}");
    assert!(code.contains("ILLEGAL_ADDRESS"), "{error}");
    // Everything after it fails, with an error and not with a panic.
    assert!(matches!(add(&x, &x).unwrap_err(), Error::Cuda { .. }));
    assert!(matches!(x.to_vec::<f32>().unwrap_err(), Error::Cuda { .. }));
}
