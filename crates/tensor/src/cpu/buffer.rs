use crate::{DType, Element};

/// Elements of one dtype in the host's memory, aligned to cache lines.
#[derive(Debug)]
pub struct Buffer {
    dtype: DType,
    capacity: usize,
    lines: Vec<Line>,
}

/// A cache line; also the width of the widest vectors.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Buffer {
    /// A buffer of zeros; `None` if the system has not got the memory.
    pub(crate) fn zeros(dtype: DType, capacity: usize) -> Option<Self> {
        let lines = capacity.checked_mul(dtype.size())?.div_ceil(size_of::<Line>());
        let lines = bytemuck::allocation::try_zeroed_vec(lines).ok()?;
        Some(Buffer { dtype, capacity, lines })
    }

    /// The dtype of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// How many elements there are.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The elements.
    ///
    /// # Panics
    /// If `T` is not the buffer's dtype: operations choose `T` by the dtype.
    pub fn slice<T: Element>(&self) -> &[T] {
        assert_eq!(T::DTYPE, self.dtype, "a buffer read as another dtype");
        &bytemuck::cast_slice(&self.lines)[..self.capacity]
    }

    /// The elements for writing.
    ///
    /// # Panics
    /// If `T` is not the buffer's dtype: operations choose `T` by the dtype.
    pub fn slice_mut<T: Element>(&mut self) -> &mut [T] {
        assert_eq!(T::DTYPE, self.dtype, "a buffer written as another dtype");
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.capacity]
    }

    /// The elements as bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.capacity * self.dtype.size()]
    }

    /// The elements as bytes, for writing.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let bytes = self.capacity * self.dtype.size();
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..bytes]
    }
}
