//! A stream with what its operations keep between calls: scratch, and the recording that is being
//! made of it.

use std::any::Any;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::CudaStream;
use cudarc::driver::sys::CUstream;

use super::Buffer;
use super::driver::During;
use super::memory_pool::{Allocation, Pool};
use crate::{DType, Error, Result};

/// A stream of a device.
pub(super) struct Stream {
    inner: Arc<CudaStream>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Scratch that no operation uses. Everything that was asked of the memory before comes first
    /// on the stream, so that the next operation may have it at once.
    scratch: Vec<Arc<Allocation>>,
    /// What the recording that is being made needs when it is replayed.
    recording: Option<Vec<Needed>>,
}

/// Something that lives as long as the recordings that need it.
pub(super) type Needed = Arc<dyn Any + Send + Sync>;

/// A buffer with anything in it for the length of an operation, after which the stream has the
/// memory again.
pub(super) struct Scratch {
    buffer: Buffer,
    stream: Arc<Stream>,
}

impl Stream {
    pub(super) fn new(inner: Arc<CudaStream>) -> Self {
        Stream { inner, kept: Mutex::default() }
    }

    pub(super) fn handle(&self) -> CUstream {
        self.inner.cu_stream()
    }

    pub(super) fn inner(&self) -> &Arc<CudaStream> {
        &self.inner
    }

    /// Waits for everything that the stream was asked for.
    pub(super) fn synchronize(&self) -> Result<()> {
        self.unrecorded("waiting for the device")?;
        self.inner.synchronize().during("cuStreamSynchronize, for this or earlier work")
    }

    /// `bytes` of memory with anything in them. When there are not as many, scratch goes first.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], and [`Error::NotRecordable`] while the stream is recorded.
    pub(super) fn allocate(&self, pool: &Pool, bytes: usize) -> Result<Arc<Allocation>> {
        self.unrecorded("an allocation")?;
        let spare = || self.kept().scratch.clear();
        Ok(Arc::new(pool.allocate(&self.inner, bytes, spare)?))
    }

    /// The smallest scratch that is large enough, else a new one in place of the largest.
    pub(super) fn scratch(self: &Arc<Self>, pool: &Pool, of: (DType, usize)) -> Result<Scratch> {
        let (dtype, len) = of;
        let bytes = len.saturating_mul(dtype.size());
        let memory = match self.take(bytes) {
            Some(memory) => memory,
            None => self.allocate(pool, bytes)?,
        };
        Ok(Scratch { buffer: Buffer::new(dtype, len, memory), stream: Arc::clone(self) })
    }

    /// Keeps something for the recording that is being made, if there is one.
    pub(super) fn need(&self, needed: &Arc<impl Any + Send + Sync>) {
        if let Some(recording) = &mut self.kept().recording {
            recording.push(Arc::clone(needed) as Needed);
        }
    }

    /// # Errors
    /// [`Error::NotRecordable`] while the stream is recorded.
    pub(super) fn unrecorded(&self, what: &'static str) -> Result<()> {
        if self.is_recorded() { Err(Error::NotRecordable { what }) } else { Ok(()) }
    }

    pub(super) fn is_recorded(&self) -> bool {
        self.kept().recording.is_some()
    }

    pub(super) fn begin_recording(&self) {
        self.kept().recording = Some(Vec::new());
    }

    /// What was needed, once each.
    pub(super) fn end_recording(&self) -> Vec<Needed> {
        let mut needed = self.kept().recording.take().unwrap_or_default();
        needed.sort_by_key(|needed| Arc::as_ptr(needed).addr());
        needed.dedup_by(|a, b| Arc::ptr_eq(a, b));
        needed
    }

    fn take(&self, bytes: usize) -> Option<Arc<Allocation>> {
        let mut kept = self.kept();
        let recorded = kept.recording.is_some();
        let scratch = &mut kept.scratch;
        let numbered = scratch.iter().enumerate().map(|(at, memory)| (memory.bytes, at));
        let large_enough = numbered.clone().filter(|(found, _)| *found >= bytes).min();
        if let Some((_, at)) = large_enough {
            return Some(scratch.swap_remove(at));
        }
        // Nothing is freed while the stream is recorded.
        if let Some((_, at)) = numbered.max().filter(|_| !recorded) {
            drop(scratch.swap_remove(at));
        }
        None
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Scratch {
    type Target = Buffer;

    fn deref(&self) -> &Buffer {
        &self.buffer
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Buffer {
        &mut self.buffer
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.stream.kept().scratch.push(self.buffer.memory());
    }
}
