//! A machine without a driver, as those without a GPU are.

use nasrl_tensor::cuda::{device_count, driver_version};
use nasrl_tensor::{Cuda, Error};

#[test]
fn no_driver_is_an_error_with_the_names_that_were_tried() {
    if driver_version().is_ok() {
        return;
    }
    for error in [Cuda::new(0).unwrap_err(), device_count().unwrap_err()] {
        match &error {
            Error::NoDriver { tried } => assert!(tried.iter().any(|name| name.contains("cuda"))),
            Error::DriverTooOld { .. } => {}
            other => panic!("{other}"),
        }
        assert!(error.to_string().contains("driver"), "{error}");
    }
}
