use std::sync::Arc;

use cudarc::driver::sys::{CUdeviceptr, CUstream};

use super::memory_pool::Allocation;
use super::module::Access;
use crate::{DType, Element};

/// Elements of one dtype in a GPU's memory, for use on one stream.
#[derive(Debug)]
pub struct Buffer {
    dtype: DType,
    capacity: usize,
    memory: Arc<Allocation>,
}

/// A buffer as a launch takes it: where it is, and what the kernel does with it.
#[derive(Clone, Copy)]
pub(super) struct Argument<'a> {
    pub(super) pointer: CUdeviceptr,
    pub(super) stream: CUstream,
    pub(super) dtype: DType,
    pub(super) access: Access,
    /// None for a null pointer.
    pub(super) memory: Option<&'a Arc<Allocation>>,
}

impl Buffer {
    pub(super) fn new(dtype: DType, capacity: usize, memory: Arc<Allocation>) -> Self {
        Buffer { dtype, capacity, memory }
    }

    pub(super) fn memory(&self) -> Arc<Allocation> {
        Arc::clone(&self.memory)
    }

    /// The dtype of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// How many elements there are.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The first `len` elements for a kernel that only reads them.
    ///
    /// # Panics
    /// If there are fewer: operations are called with buffers that were checked.
    pub(super) fn read(&self, len: usize) -> Argument<'_> {
        self.argument(len, Access::Read)
    }

    /// The first `len` elements for a kernel that writes them.
    ///
    /// # Panics
    /// As [`Buffer::read`].
    pub(super) fn write(&mut self, len: usize) -> Argument<'_> {
        self.argument(len, Access::Write)
    }

    /// The bytes that the first `len` elements of a buffer of `T` take.
    ///
    /// # Panics
    /// If there are fewer elements or `T` is not their type.
    pub(super) fn bytes_of<T: Element>(&self, len: usize) -> usize {
        assert_eq!(T::DTYPE, self.dtype, "a buffer taken for one of another dtype");
        self.bytes(len)
    }

    /// The bytes that the first `len` elements take.
    ///
    /// # Panics
    /// As [`Buffer::read`].
    pub(super) fn bytes(&self, len: usize) -> usize {
        assert!(len <= self.capacity, "{len} elements of a buffer of {}", self.capacity);
        len * self.dtype.size()
    }

    fn argument(&self, len: usize, access: Access) -> Argument<'_> {
        self.bytes(len);
        let (pointer, stream) = (self.memory.pointer, self.memory.stream.cu_stream());
        Argument { pointer, stream, dtype: self.dtype, access, memory: Some(&self.memory) }
    }
}

impl Argument<'_> {
    /// A null pointer that a kernel is to read nothing from.
    pub(super) fn null(dtype: DType, stream: CUstream) -> Self {
        Argument { pointer: 0, stream, dtype, access: Access::Read, memory: None }
    }
}
