//! A GPU: its context, its memory pool and the kernels that were loaded.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::CudaContext;
use nasrl_kernels::Source;

use super::cache::KernelCache;
use super::compiler::Compiler;
use super::driver::{During, device_count};
use super::image::Image;
use super::memory_pool::Pool;
use super::module::{Module, Table};
use super::stream::Stream;
use crate::{Error, Result};

/// What the streams on a GPU share.
pub(super) struct Device {
    /// Such as `cuda:0 (NVIDIA H100)`.
    pub(super) name: String,
    pub(super) context: Arc<CudaContext>,
    pub(super) pool: Pool,
    compiler: Compiler,
    modules: Mutex<HashMap<&'static str, Arc<Module>>>,
}

impl Device {
    pub(super) fn open(ordinal: usize, cache: &KernelCache) -> Result<Self> {
        let count = device_count()?;
        if ordinal >= count {
            return Err(Error::NoDevice { ordinal, count });
        }
        let context = CudaContext::new(ordinal).during("cuDevicePrimaryCtxRetain")?;
        // SAFETY: buffers of this backend are not cudarc's: they are used on their own stream only,
        // which orders what is done with them.
        unsafe { context.disable_event_tracking() };
        let words = context.name().during("cuDeviceGetName")?;
        let name = format!("cuda:{ordinal} ({words})");
        let capability = context.compute_capability().during("cuDeviceGetAttribute")?;
        let pool = Pool::of(&context, &name)?;
        let compiler = Compiler::new(capability, cache.clone());
        Ok(Device { name, context, pool, compiler, modules: Mutex::default() })
    }

    pub(super) fn new_stream(&self) -> Result<Arc<Stream>> {
        let stream = self.context.new_stream().during("cuStreamCreate")?;
        Ok(Arc::new(Stream::new(stream)))
    }

    /// A source of the user's, compiled and loaded.
    pub(super) fn load(&self, source: Source<'_>) -> Result<Image> {
        Image::load(&self.context, &self.compiler, source)
    }

    /// The kernels of a table, compiled and loaded at the first call, for a launch on a stream.
    pub(super) fn module(&self, table: &'static Table, stream: &Stream) -> Result<Arc<Module>> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(table.source.name) {
            return Ok(Arc::clone(module));
        }
        stream.unrecorded("loading a kernel")?;
        let module = Arc::new(Module::load(&self.context, &self.compiler, table)?);
        modules.insert(table.source.name, Arc::clone(&module));
        Ok(module)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
