//! A driver that is too old.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use nasrl_cuda_emulator::{Options, install};
use nasrl_tensor::cuda::{NEEDED_DRIVER, device_count};
use nasrl_tensor::{Cuda, CudaVersion, Error};

#[test]
fn an_old_driver_is_refused_with_both_versions() {
    install(&Options { driver_version: 12_040, ..Options::default() }).unwrap();
    for error in [Cuda::new(0).unwrap_err(), device_count().unwrap_err()] {
        let Error::DriverTooOld { found, needed } = error else { panic!("{error}") };
        assert_eq!((found, needed), (CudaVersion(12_040), NEEDED_DRIVER));
        assert!(error.to_string().contains("12.4") && error.to_string().contains("13.0"));
    }
}
