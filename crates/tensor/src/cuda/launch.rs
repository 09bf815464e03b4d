//! Launches of declared kernels.

use std::ffi::c_void;

use bytemuck::NoUninit;
use cudarc::driver::result;

use super::buffer::Argument;
use super::driver::During;
use super::image::Function;
use super::module::{Elements, Kernel};
use super::{Cuda, Launches};
use crate::{DType, Error, Result};

/// Most buffers that a kernel may take.
const MAX_BUFFERS: usize = 15;

/// How many threads run a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Blocks in each dimension; with none, nothing is launched.
    pub blocks: [usize; 3],
    /// Threads of a block, which is one-dimensional.
    pub threads: u32,
    /// Bytes of dynamic shared memory of a block.
    pub shared: u32,
}

impl Grid {
    /// Blocks of 256 threads.
    pub fn blocks(blocks: usize) -> Self {
        Grid { blocks: [blocks, 1, 1], threads: 256, shared: 0 }
    }

    /// As many blocks of 256 threads as it takes for `count` elements at `per_block` a block.
    pub fn over(count: usize, per_block: usize) -> Self {
        Grid::blocks(count.div_ceil(per_block))
    }

    /// The grid of `elementwise.cuh`.
    pub(super) fn elementwise(len: usize) -> Self {
        Grid::over(len, 2048)
    }
}

impl Cuda {
    /// Asks the stream to run a kernel. The geometry must not lead it past the lengths that the
    /// arguments were made with: nothing else bounds what it touches.
    ///
    /// # Errors
    /// [`Error::DType`] for a type that the kernel does not come in or that does not go with the
    /// others; [`Error::OtherDevice`] for a buffer of another stream; those of compiling and of the
    /// driver.
    ///
    /// # Panics
    /// If a buffer to read is given for one to write, or the other way round.
    pub(super) fn launch<const N: usize, G: NoUninit>(
        &self,
        kernel: &'static Kernel<N, G>,
        grid: Grid,
        arguments: [Argument<'_>; N],
        geometry: G,
    ) -> Result<()> {
        let declaration = &kernel.declaration;
        let mut variant = None;
        let mut parameters = [std::ptr::null_mut::<c_void>(); MAX_BUFFERS + 1];
        const { assert!(N <= MAX_BUFFERS) };
        for (index, (argument, parameter)) in
            arguments.iter().zip(declaration.parameters).enumerate()
        {
            assert_eq!(argument.access, parameter.access, "{}: {index}", declaration.name);
            self.admit(argument)?;
            let expected = match parameter.elements {
                Elements::OfVariant => *variant.get_or_insert(argument.dtype),
                Elements::Of(dtype) => dtype,
                Elements::Any => argument.dtype,
            };
            if argument.dtype != expected {
                let (op, found) = (declaration.name, argument.dtype);
                return Err(Error::DType { op, found, expected: "the type of the kernel" });
            }
            parameters[index] = (&raw const argument.pointer).cast_mut().cast();
        }
        parameters[N] = (&raw const geometry).cast_mut().cast();
        let name = declaration.entry_point(variant).ok_or_else(|| Error::DType {
            op: declaration.name,
            found: variant.unwrap_or(DType::F32),
            expected: "a type that the kernel comes in",
        })?;
        let module = self.device.module(kernel.table, &self.stream)?;
        // SAFETY: the function takes `N` pointers and a geometry of this size, which was checked
        // when it was loaded. The buffers belong to this stream, so that they live until the kernel
        // is done; what is written is borrowed as mutable. The kernel stays within the lengths of
        // the arguments by its contract with its launcher.
        unsafe { self.start(name, module.get(name), grid, &mut parameters[..=N]) }
    }

    /// The address of an operand that a geometry holds, of which nothing is checked later.
    ///
    /// # Errors
    /// [`Error::DType`] unless its elements are of that type; [`Error::OtherDevice`] for a buffer of
    /// another stream.
    pub(super) fn address(&self, operand: Argument<'_>, expected: DType) -> Result<u64> {
        self.admit(&operand)?;
        match operand.dtype {
            found if found == expected => Ok(operand.pointer),
            found => {
                let (op, expected) = ("an operation on many tensors", "that of the kernel");
                Err(Error::DType { op, found, expected })
            }
        }
    }

    /// Asks the stream to run a function.
    ///
    /// # Safety
    /// The parameters are those that the function takes, which are valid for this call, and the
    /// memory that it touches stays valid in the order of the stream.
    pub(super) unsafe fn start(
        &self,
        name: &str,
        function: &Function,
        grid: Grid,
        parameters: &mut [*mut c_void],
    ) -> Result<()> {
        if grid.blocks.contains(&0) {
            return Ok(());
        }
        let during = |what: &str| format!("{what} of {name}");
        self.device.context.bind_to_thread().during("cuCtxSetCurrent")?;
        let function = function.with_shared(grid.shared);
        let function = function.during_what(|| during("cuFuncSetAttribute"))?;
        let [x, y, z] = grid.blocks.map(|blocks| u32::try_from(blocks).unwrap_or(u32::MAX));
        let stream = self.stream.handle();
        let (blocks, threads) = ((x, y, z), (grid.threads, 1, 1));
        // SAFETY: the caller's.
        unsafe {
            result::launch_kernel(function, blocks, threads, grid.shared, stream, parameters)
        }
        .during_what(|| during("cuLaunchKernel"))?;
        match self.launches {
            Launches::Queued => Ok(()),
            Launches::Awaited if self.stream.is_recorded() => Ok(()),
            Launches::Awaited => {
                self.stream.inner().synchronize().during_what(|| during("execution"))
            }
        }
    }
}
