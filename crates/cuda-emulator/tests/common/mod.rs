//! What the tests of the emulator share.
#![allow(dead_code, reason = "each test binary uses its part")]

use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaContext, CudaModule, CudaStream, DriverError, LaunchConfig};
use cudarc::nvrtc::{Ptx, result};
use nasrl_cuda_emulator::{Emulator, Options, install};
use std::ffi::{CStr, CString};
use std::sync::Arc;

pub(crate) const BASIC: (&str, &str) = ("basic.cu", include_str!("../kernels/basic.cu"));
pub(crate) const GEMM: (&str, &str) = ("gemm.cu", include_str!("../kernels/gemm.cu"));
pub(crate) const WRONG: (&str, &str) = ("wrong.cu", include_str!("../kernels/wrong.cu"));
const PRELUDE: &str = include_str!("../kernels/prelude.cuh");

/// A device with a stream of its own.
pub(crate) struct Device {
    pub(crate) emulator: &'static Emulator,
    pub(crate) context: Arc<CudaContext>,
    pub(crate) stream: Arc<CudaStream>,
}

impl Device {
    pub(crate) fn new(options: &Options) -> Self {
        Self::of(options, 0)
    }

    /// The device of that index; tests whose kernels fail take one each.
    pub(crate) fn of(options: &Options, index: usize) -> Self {
        let emulator = install(options).expect("the emulator can be installed");
        let context = CudaContext::new(index).expect("a device");
        let stream = context.new_stream().expect("a stream");
        Self { emulator, context, stream }
    }

    /// Compiles and loads a source with extra options.
    pub(crate) fn module(&self, source: (&str, &str), options: &[&str]) -> Arc<CudaModule> {
        let image = compile(source, options).expect("the source compiles");
        self.context.load_module(image).expect("the module loads")
    }
}

/// Compiles through NVRTC with the prelude as a header in memory; an error is the log.
pub(crate) fn compile((name, text): (&str, &str), options: &[&str]) -> Result<Ptx, String> {
    let (name, text) = (c_string(name), c_string(text));
    let (header, include_name) = (c_string(PRELUDE), c"prelude.cuh");
    let mut program = std::ptr::null_mut();
    // SAFETY: all strings outlive the calls, and the program is created before it is used.
    unsafe {
        cudarc::nvrtc::sys::nvrtcCreateProgram(
            &mut program,
            text.as_ptr(),
            name.as_ptr(),
            1,
            [header.as_ptr()].as_ptr(),
            [include_name.as_ptr()].as_ptr(),
        )
        .result()
        .expect("a program");
        let fixed = ["--gpu-architecture=sm_90a", "--std=c++17"];
        let options: Vec<&str> = fixed.iter().chain(options).copied().collect();
        if result::compile_program(program, &options).is_err() {
            let log = result::get_program_log(program).expect("a log");
            return Err(CStr::from_ptr(log.as_ptr()).to_string_lossy().into_owned());
        }
        let image = result::get_ptx(program).expect("an image");
        let text = CStr::from_ptr(image.as_ptr()).to_string_lossy().into_owned();
        result::destroy_program(program).expect("destroyed");
        Ok(Ptx::from_src(text))
    }
}

pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}

pub(crate) fn shape(grid: u32, block: u32, shared: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (grid, 1, 1), block_dim: (block, 1, 1), shared_mem_bytes: shared }
}

/// Numbers in [-1, 1) from a seed.
pub(crate) fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Where a source has the mark `// LINE name`, as reports write it.
pub(crate) fn line_of((file, text): (&str, &str), name: &str) -> String {
    let mark = format!("// LINE {name}");
    let line = text.lines().position(|line| line.ends_with(&mark)).expect("a marked line");
    format!("{file}:{}", line + 1)
}

/// What became of a launch. An error of the kernel may be seen by the launch's own bookkeeping
/// already, or by the host's next wait.
pub(crate) fn outcome<T>(
    launched: Result<T, DriverError>,
    stream: &CudaStream,
) -> Result<(), CUresult> {
    launched.and_then(|_| stream.synchronize()).map_err(|error| error.0)
}
