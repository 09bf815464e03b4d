//! Machine code on a device, and its entry points.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use cudarc::driver::{CudaContext, DriverError, result, sys};
use nasrl_kernels::Source;

use super::compiler::Compiler;
use super::driver::During;
use crate::{Error, Result};

/// A source's machine code, loaded.
pub(super) struct Image {
    context: Arc<CudaContext>,
    module: sys::CUmodule,
}

/// An entry point of an [`Image`], which has to be kept for as long as it.
pub(super) struct Function {
    handle: sys::CUfunction,
    /// The sizes of its parameters, in bytes.
    pub(super) parameters: Vec<usize>,
    /// The dynamic shared memory that a block may have so far.
    shared: AtomicU32,
}

// SAFETY: the handle may be used from any thread to which the context is bound, which every call
// here sees to; nothing changes it but the drop.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}
// SAFETY: as for the image that it is of.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

/// What a kernel may have without asking the driver.
const SHARED_BY_DEFAULT: u32 = 48 << 10;

impl Image {
    /// Compiles and loads a source.
    pub(super) fn load(
        context: &Arc<CudaContext>,
        compiler: &Compiler,
        source: Source<'_>,
    ) -> Result<Self> {
        context.bind_to_thread().during("cuCtxSetCurrent")?;
        let cubin = compiler.cubin(source)?;
        let load = |bytes: &[u8]| {
            // SAFETY: the bytes are an image that NVRTC made, or a text that ends with NUL; the
            // driver copies them.
            unsafe { result::module::load_data(bytes.as_ptr().cast()) }
        };
        let module = match load(&cubin.bytes) {
            // The cache may hold what another kind of driver made, or what a full disk left.
            Err(_) if cubin.cached => load(&compiler.again(source, cubin)?.bytes),
            loaded => loaded,
        };
        let module = module.during_what(|| format!("cuModuleLoadData of {}", source.name))?;
        Ok(Image { context: Arc::clone(context), module })
    }

    /// An entry point; `source_name` is for the error if there is none of that name.
    pub(super) fn function(&self, source_name: &str, name: &str) -> Result<Function> {
        let missing = || Error::Kernel {
            kernel: name.to_owned(),
            source_name: source_name.to_owned(),
            problem: "the source has no such kernel".to_owned(),
        };
        let c_name = CString::new(name).map_err(|_| missing())?;
        self.context.bind_to_thread().during("cuCtxSetCurrent")?;
        // SAFETY: the module is loaded and its context is bound.
        let handle = unsafe { result::module::get_function(self.module, c_name) };
        let handle = handle.map_err(|_| missing())?;
        let sizes = (0..).map_while(|index| parameter_size(handle, index).ok());
        let (parameters, shared) = (sizes.collect(), AtomicU32::new(SHARED_BY_DEFAULT));
        Ok(Function { handle, parameters, shared })
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.context.record_err(self.context.synchronize());
        // SAFETY: nobody else unloads the module; its launches are over, and there will be no more,
        // since they borrow it.
        self.context.record_err(unsafe { result::module::unload(self.module) });
    }
}

impl Function {
    /// The handle, for a launch with this much dynamic shared memory.
    pub(super) fn with_shared(&self, bytes: u32) -> Result<sys::CUfunction, DriverError> {
        if bytes > self.shared.load(Ordering::Relaxed) {
            let attribute =
                sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let most = i32::try_from(bytes).unwrap_or(i32::MAX);
            // SAFETY: the module of the function is loaded as long as `self` is used.
            unsafe { result::function::set_function_attribute(self.handle, attribute, most) }?;
            self.shared.fetch_max(bytes, Ordering::Relaxed);
        }
        Ok(self.handle)
    }
}

/// The size of a parameter; an error if there are not as many.
fn parameter_size(function: sys::CUfunction, index: usize) -> Result<usize, DriverError> {
    let (mut offset, mut size) = (0, 0);
    // SAFETY: the function is of a loaded module, the results outlive the call.
    unsafe { sys::cuFuncGetParamInfo(function, index, &mut offset, &mut size) }.result()?;
    Ok(size)
}
