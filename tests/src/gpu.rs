use std::env;
use std::sync::OnceLock;

use nasrl_tensor::{Cuda, Error};

/// Set to 1, a test that wants a GPU fails where there is none.
const REQUIRED: &str = "NASRL_REQUIRE_GPU";

/// The first GPU of this machine, or nothing, which it says once, if there is no GPU or driver.
///
/// # Panics
/// If there is a GPU that cannot be used, or none although `NASRL_REQUIRE_GPU` is 1.
pub fn gpus() -> Vec<Cuda> {
    static GPU: OnceLock<Option<Cuda>> = OnceLock::new();
    GPU.get_or_init(first).iter().cloned().collect()
}

#[expect(clippy::print_stderr, reason = "whoever reads the tests' output should know")]
fn first() -> Option<Cuda> {
    match Cuda::new(0) {
        Ok(gpu) => Some(gpu),
        Err(
            error @ (Error::NoDriver { .. } | Error::DriverTooOld { .. } | Error::NoDevice { .. }),
        ) => {
            let required = env::var(REQUIRED).is_ok_and(|value| value == "1");
            assert!(!required, "{REQUIRED} is 1: {error}");
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
