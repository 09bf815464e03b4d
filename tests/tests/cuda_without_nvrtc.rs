//! A GPU without NVRTC.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::env;

use nasrl_cuda_emulator::{Options, install};
use nasrl_tensor::ops::add;
use nasrl_tensor::{Cuda, Error, Tensor};

#[test]
fn the_library_that_was_named_is_in_the_error() {
    // SAFETY: the only test of this process, before anything that reads the environment.
    unsafe { env::set_var("NASRL_NVRTC", "/nowhere/libnvrtc.so.13") };
    install(&Options::default()).unwrap();
    let gpu = Cuda::new(0).unwrap();
    let x = Tensor::from_slice(&gpu, 2, &[-1.0f32, 2.0]).unwrap();
    let error = add(&x, &x).unwrap_err();
    assert!(matches!(error, Error::NoNvrtc { .. }), "{error}");
    assert!(error.to_string().contains("/nowhere/libnvrtc.so.13"), "{error}");
    // What needs no kernel works.
    assert_eq!(x.to_vec::<f32>().unwrap(), [-1.0, 2.0]);
}
