//! Kernels of a user's own.

use std::fmt;
use std::sync::Arc;

use bytemuck::NoUninit;
use nasrl_kernels::Source;

use super::image::{Function, Image};
use super::launch::Grid;
use super::{Buffer, Cuda};
use crate::{Error, Result};

/// A source of one's own on a device.
#[derive(Clone)]
pub struct CustomKernels {
    image: Arc<Image>,
    source_name: Arc<str>,
}

/// An entry point of [`CustomKernels`].
pub struct CustomKernel {
    function: Function,
    name: String,
    source_name: Arc<str>,
    /// What the function is of.
    image: Arc<Image>,
}

impl Cuda {
    /// Compiles and loads a source, which may include the headers of this crate's kernels, such as
    /// `"types.cuh"` and `"elementwise.cuh"`. It is compiled and cached as they are.
    ///
    /// # Errors
    /// [`Error::Compile`] with the compiler's messages, [`Error::NoNvrtc`], or [`Error::Cuda`].
    pub fn custom_kernels(&self, name: &str, text: &str) -> Result<CustomKernels> {
        let image = self.device.load(Source { name, text })?;
        Ok(CustomKernels { image: Arc::new(image), source_name: name.into() })
    }

    /// Asks the stream to run a kernel whose parameters are pointers to the elements of `reads`,
    /// then to those of `writes`, then one geometry by value, a `#[repr(C)]` struct without padding.
    ///
    /// # Errors
    /// [`Error::Kernel`] unless the kernel takes as many parameters of these sizes;
    /// [`Error::OtherDevice`] for a buffer of another stream; [`Error::Cuda`] from the driver.
    ///
    /// # Safety
    /// The kernel takes pointers to the buffers' types, stays within their capacities, and does not
    /// write what it is given to read.
    pub unsafe fn launch_custom<G: NoUninit>(
        &self,
        kernel: &CustomKernel,
        grid: Grid,
        reads: &[&Buffer],
        writes: &mut [&mut Buffer],
        geometry: G,
    ) -> Result<()> {
        let reads = reads.iter().map(|buffer| buffer.read(buffer.capacity()));
        let writes = writes.iter_mut().map(|buffer| buffer.write(buffer.capacity()));
        let arguments: Vec<_> = reads.chain(writes).collect();
        arguments.iter().try_for_each(|argument| self.admit(argument))?;
        let pointers = arguments.iter().map(|argument| &raw const argument.pointer);
        let mut parameters: Vec<_> = pointers.map(|pointer| pointer.cast_mut().cast()).collect();
        parameters.push((&raw const geometry).cast_mut().cast());
        let mut expected = vec![size_of::<u64>(); arguments.len()];
        expected.push(size_of::<G>());
        let found = &kernel.function.parameters;
        if *found != expected {
            return Err(Error::Kernel {
                kernel: kernel.name.clone(),
                source_name: kernel.source_name.to_string(),
                problem: format!("its parameters have {found:?} bytes, those given {expected:?}"),
            });
        }
        self.stream.need(&kernel.image);
        // SAFETY: the function takes as many pointers and a geometry of this size, which live to
        // the end of the call; the buffers belong to this stream. The rest is the caller's.
        unsafe { self.start(&kernel.name, &kernel.function, grid, &mut parameters) }
    }
}

impl CustomKernels {
    /// The entry point of a name, which the source declares `extern "C" __global__`.
    ///
    /// # Errors
    /// [`Error::Kernel`] if there is none.
    pub fn kernel(&self, name: &str) -> Result<CustomKernel> {
        Ok(CustomKernel {
            function: self.image.function(&self.source_name, name)?,
            name: name.to_owned(),
            source_name: Arc::clone(&self.source_name),
            image: Arc::clone(&self.image),
        })
    }
}

impl fmt::Debug for CustomKernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomKernels({})", self.source_name)
    }
}

impl fmt::Debug for CustomKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomKernel({} of {})", self.name, self.source_name)
    }
}
