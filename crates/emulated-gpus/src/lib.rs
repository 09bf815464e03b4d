//! Two emulated GPUs for a program that knows nothing of them, such as `nasrl` itself: preloaded
//! (`LD_PRELOAD`), this library is there before `main` and is found as the CUDA driver and NVRTC.
//!
//! `NASRL_FAIL_LAUNCH` names a kernel whose first launch is to lose its GPU.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod preloaded {
    use std::env;

    use nasrl_cuda_emulator::{Options, install};

    /// `CUDA_ERROR_ILLEGAL_ADDRESS`, after which a GPU takes no more work of a process.
    const LOST: u32 = 700;

    // SAFETY: the loader calls the functions of this section, of that type, once before `main`.
    #[unsafe(link_section = ".init_array")]
    #[used]
    static BEFORE_MAIN: extern "C" fn() = before_main;

    extern "C" fn before_main() {
        // SAFETY: the process has no other thread yet. The compiler that the emulator runs is not to
        // find GPUs.
        unsafe { env::remove_var("LD_PRELOAD") };
        let options = Options { devices: 2, print: false, ..Options::default() };
        let emulator = install(&options).expect("g++ and a folder for what it compiles");
        if let Ok(kernel) = env::var("NASRL_FAIL_LAUNCH") {
            emulator.fail_launch(&kernel, LOST);
        }
    }
}
