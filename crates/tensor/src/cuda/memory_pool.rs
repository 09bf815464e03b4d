//! Memory of a GPU in the order of a stream, from the device's pool.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream, DriverError, result, sys};

use super::driver::During;
use crate::error::MemoryState;
use crate::{Error, Result};

/// The pool that a device's allocations come from. It keeps what is freed, up to the moment when
/// an allocation fails.
pub(super) struct Pool {
    device: String,
    pool: sys::CUmemoryPool,
}

// SAFETY: the handle is the device's own pool, which is never destroyed; the driver's functions on
// it may be called from any thread.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    pub(super) fn of(context: &CudaContext, device: &str) -> Result<Self> {
        let device = device.to_owned();
        if !context.has_async_alloc() {
            let feature = "memory pools, by which the backend allocates";
            return Err(Error::UnsupportedDevice { device, feature });
        }
        // SAFETY: the context is alive, so its device exists.
        let pool = unsafe { result::device::get_default_mem_pool(context.cu_device()) }
            .during("cuDeviceGetDefaultMemPool")?;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        let mut keep = u64::MAX;
        // SAFETY: the attribute's type is `u64`.
        unsafe { result::mem_pool::set_attribute(pool, attribute, (&raw mut keep).cast()) }
            .during("cuMemPoolSetAttribute")?;
        Ok(Pool { device, pool })
    }

    /// `bytes` of memory with anything in them, for use on this stream.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if they are not to be had even after all work on the stream was done
    /// and the pool gave back what it had not in use.
    pub(super) fn allocate(&self, stream: &Arc<CudaStream>, bytes: usize) -> Result<Allocation> {
        const CALL: &str = "cuMemAllocAsync";
        stream.context().bind_to_thread().during("cuCtxSetCurrent")?;
        let allocate = || {
            // SAFETY: the stream is alive; whoever uses the memory does so on it.
            unsafe { result::malloc_async(stream.cu_stream(), bytes.max(1)) }
        };
        let mut pointer = allocate();
        if is_out_of_memory(&pointer) {
            stream.synchronize().during("cuStreamSynchronize")?;
            // SAFETY: the pool is the device's.
            unsafe { result::mem_pool::trim_to(self.pool, 0) }.during("cuMemPoolTrimTo")?;
            pointer = allocate();
        }
        if is_out_of_memory(&pointer) {
            let (device, memory) = (self.device.clone(), self.state().ok());
            return Err(Error::OutOfMemory { device, asked: bytes, memory });
        }
        Ok(Allocation { pointer: pointer.during(CALL)?, stream: Arc::clone(stream) })
    }

    /// The memory of the device whose context is bound.
    pub(super) fn state(&self) -> Result<MemoryState> {
        use sys::CUmemPool_attribute as Attribute;
        let (free, total) = result::mem_get_info().during("cuMemGetInfo")?;
        let attribute = |attribute| {
            let mut bytes = 0u64;
            // SAFETY: the pool is the device's; the attribute's type is `u64`.
            let got = unsafe {
                result::mem_pool::get_attribute(self.pool, attribute, (&raw mut bytes).cast())
            };
            got.during("cuMemPoolGetAttribute").map(|()| bytes as usize)
        };
        let pool = attribute(Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?;
        let pool_used = attribute(Attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?;
        Ok(MemoryState { total, free, pool, pool_used })
    }
}

fn is_out_of_memory<T>(result: &Result<T, DriverError>) -> bool {
    matches!(result, Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)))
}

/// Memory that goes back to the pool once the stream is done with what it was asked for.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) pointer: sys::CUdeviceptr,
    pub(super) stream: Arc<CudaStream>,
}

impl Drop for Allocation {
    fn drop(&mut self) {
        let context = self.stream.context();
        context.record_err(context.bind_to_thread());
        // SAFETY: the memory came from this stream's order and is freed once, after everything
        // that the stream was asked to do with it.
        context.record_err(unsafe { result::free_async(self.pointer, self.stream.cu_stream()) });
    }
}
