//! Memory of a GPU in the order of a stream, from the device's pool.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream, DriverError, result, sys};

use super::driver::During;
use super::resident::Shared;
use super::stream::Stream;
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

    /// `bytes` of memory with anything in them, for use on this stream; `spare` lets go of what the
    /// stream can do without.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if they are not to be had even after `spare`, after all work on the
    /// stream was done and after the pool gave back what it had not in use.
    pub(super) fn allocate(
        &self,
        stream: &Arc<CudaStream>,
        bytes: usize,
        spare: impl FnOnce(),
    ) -> Result<Allocation> {
        let pointer = self.retried(stream, (bytes, "cuMemAllocAsync"), spare, || {
            // SAFETY: the stream is alive; whoever uses the memory does so on it.
            unsafe { result::malloc_async(stream.cu_stream(), bytes.max(1)) }
        })?;
        Ok(Allocation { pointer, bytes, stream: Arc::clone(stream), shared: None })
    }

    /// `bytes` of memory of no stream, with anything in them.
    ///
    /// # Errors
    /// As [`Pool::allocate`].
    pub(super) fn allocate_shared(
        &self,
        stream: &Stream,
        bytes: usize,
    ) -> Result<sys::CUdeviceptr> {
        stream.unrecorded("an allocation")?;
        self.retried(
            stream.inner(),
            (bytes, "cuMemAlloc"),
            || (),
            || {
                // SAFETY: the context is bound; whoever uses the memory does so while it is there.
                unsafe { result::malloc_sync(bytes.max(1)) }
            },
        )
    }

    /// Calls `allocate` for so many bytes, and once more if there are not as many.
    fn retried(
        &self,
        stream: &CudaStream,
        (asked, call): (usize, &str),
        spare: impl FnOnce(),
        allocate: impl Fn() -> Result<sys::CUdeviceptr, DriverError>,
    ) -> Result<sys::CUdeviceptr> {
        stream.context().bind_to_thread().during("cuCtxSetCurrent")?;
        let mut pointer = allocate();
        if is_out_of_memory(&pointer) {
            spare();
            stream.synchronize().during("cuStreamSynchronize")?;
            // SAFETY: the pool is the device's.
            unsafe { result::mem_pool::trim_to(self.pool, 0) }.during("cuMemPoolTrimTo")?;
            pointer = allocate();
        }
        if is_out_of_memory(&pointer) {
            let (device, memory) = (self.device.clone(), self.state().ok());
            return Err(Error::OutOfMemory { device, asked, memory });
        }
        pointer.during(call)
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

/// Memory for use on a stream. It goes back to the pool once the stream is done with what it was
/// asked for.
#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) pointer: sys::CUdeviceptr,
    pub(super) bytes: usize,
    pub(super) stream: Arc<CudaStream>,
    /// What it is of, if it is read only and other streams read it too.
    shared: Option<Arc<Shared>>,
}

impl Allocation {
    /// `bytes` of shared memory for reading on a stream.
    pub(super) fn of_shared(shared: &Arc<Shared>, stream: &Arc<CudaStream>, bytes: usize) -> Self {
        let (pointer, shared) = (shared.pointer, Some(Arc::clone(shared)));
        Allocation { pointer, bytes, stream: Arc::clone(stream), shared }
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.shared.is_some()
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        let context = self.stream.context();
        context.record_err(context.bind_to_thread());
        if self.shared.is_some() {
            return context.record_err(self.stream.synchronize());
        }
        // SAFETY: the memory came from this stream's order and is freed once, after everything
        // that the stream was asked to do with it.
        context.record_err(unsafe { result::free_async(self.pointer, self.stream.cu_stream()) });
    }
}
