//! Memory that all streams of a device read.

use std::sync::Arc;

use cudarc::driver::{CudaContext, result, sys};

use super::buffer::Buffer;
use super::driver::During;
use super::memory_pool::Allocation;
use super::{Cuda, Resident};
use crate::backend::Reside;
use crate::{Element, Memory, Result};

/// Memory of a device that belongs to no stream.
///
/// Each stream that reads it holds an [`Allocation`] of its own on it, which waits for the stream
/// before it lets go: when the last one goes, nothing that reads the memory is under way.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) pointer: sys::CUdeviceptr,
    pub(super) context: Arc<CudaContext>,
}

impl Reside for Cuda {
    type Resident = Resident;

    fn reside<T: Element>(&self, data: &[T]) -> Result<Option<Resident>> {
        let pointer = self.device.pool.allocate_shared(&self.stream, size_of_val(data))?;
        let shared = Arc::new(Shared { pointer, context: Arc::clone(&self.device.context) });
        let resident = Resident { dtype: T::DTYPE, len: data.len(), shared };
        if !data.is_empty() {
            // SAFETY: as many bytes were allocated, which nobody else knows of yet; `data` outlives
            // the copy, which is waited for, so that other streams need not wait for this one.
            unsafe { result::memcpy_htod_async(pointer, data, self.stream.handle()) }
                .during("cuMemcpyHtoDAsync")?;
            self.synchronize()?;
        }
        Ok(Some(resident))
    }

    fn attach(&self, resident: &Resident) -> Result<Buffer> {
        let Resident { dtype, len, shared } = resident;
        // Streams of one context read one another's memory; another GPU does not.
        self.check_context(&shared.context)?;
        let memory = Allocation::of_shared(shared, self.stream.inner(), len * dtype.size());
        Ok(Buffer::new(*dtype, *len, Arc::new(memory)))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        // SAFETY: the memory came from `cuMemAlloc` and is freed once; the streams that read it are
        // done with it, see above.
        self.context.record_err(unsafe { result::free_sync(self.pointer) });
    }
}
