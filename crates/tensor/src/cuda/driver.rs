//! The driver's library: whether it is there and new enough, and its errors as ours.

use std::ffi::CStr;

use cudarc::driver::{DriverError, result, sys};

use crate::error::CudaVersion;
use crate::{Error, Result};

/// The oldest driver whose interface is the one this crate is built for.
pub const NEEDED_DRIVER: CudaVersion = CudaVersion(13_000);

/// The version of the driver, which is loaded by the first call.
///
/// # Errors
/// [`Error::NoDriver`] if there is none, [`Error::DriverTooOld`] if it is older than
/// [`NEEDED_DRIVER`].
pub fn driver_version() -> Result<CudaVersion> {
    let tried: Vec<String> =
        ["cuda", "nvcuda"].into_iter().flat_map(cudarc::get_lib_name_candidates).collect();
    // SAFETY: loading the driver's library runs initialisers that are made to be run by any
    // program; the handle is closed again, and cudarc opens its own.
    if !tried.iter().any(|name| unsafe { libloading::Library::new(name) }.is_ok()) {
        return Err(Error::NoDriver { tried });
    }
    let mut found = 0;
    // SAFETY: `found` outlives the call, which needs no initialised driver.
    unsafe { sys::cuDriverGetVersion(&mut found) }.result().during("cuDriverGetVersion")?;
    match CudaVersion(found) {
        found if found < NEEDED_DRIVER => Err(Error::DriverTooOld { found, needed: NEEDED_DRIVER }),
        found => Ok(found),
    }
}

/// How many GPUs the driver shows.
///
/// # Errors
/// Those of [`driver_version`].
pub fn device_count() -> Result<usize> {
    driver_version()?;
    match result::init() {
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => return Ok(0),
        initialised => initialised.during("cuInit")?,
    }
    let count = result::device::get_count().during("cuDeviceGetCount")?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Names the call that a result of the driver comes from.
pub(super) trait During<T> {
    /// The result with an [`Error::Cuda`] that says during which call it came up.
    fn during(self, call: &str) -> Result<T>
    where
        Self: Sized,
    {
        self.during_what(|| call.to_owned())
    }

    /// The same, with words that are made only if they are needed.
    fn during_what(self, call: impl FnOnce() -> String) -> Result<T>;
}

impl<T> During<T> for Result<T, DriverError> {
    fn during_what(self, call: impl FnOnce() -> String) -> Result<T> {
        let text = |text: Result<&CStr, DriverError>| match text {
            Ok(text) => text.to_string_lossy().into_owned(),
            Err(_) => "unknown to the driver".to_owned(),
        };
        self.map_err(|error| Error::Cuda {
            during: call(),
            code: format!("{:?}", error.0),
            text: text(error.error_string()),
        })
    }
}
