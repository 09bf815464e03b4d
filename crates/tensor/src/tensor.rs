use std::fmt;
use std::sync::Arc;

use crate::{DType, Element, Error, Memory, Result, Shape};

/// A contiguous, row-major array on a backend.
///
/// Cloning and reshaping share the elements; an operation that works in place copies them first if
/// they are shared.
pub struct Tensor<B: Memory> {
    backend: B,
    buffer: Arc<B::Buffer>,
    shape: Shape,
}

impl<B: Memory> Tensor<B> {
    /// A tensor of zeros.
    pub fn zeros(backend: &B, dtype: DType, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        Ok(Self::from_buffer(backend, backend.zeros(dtype, shape.count())?, shape))
    }

    /// A tensor of the elements of `data`, which are in row-major order.
    ///
    /// # Errors
    /// [`Error::Length`] if `data` does not hold exactly `shape`'s number of elements.
    pub fn from_slice<T: Element>(
        backend: &B,
        shape: impl Into<Shape>,
        data: &[T],
    ) -> Result<Self> {
        let shape = shape.into();
        if data.len() != shape.count() {
            return Err(Error::Length { op: "from_slice", found: data.len(), shape });
        }
        let mut buffer = backend.zeros(T::DTYPE, data.len())?;
        backend.write(data, &mut buffer)?;
        Ok(Self::from_buffer(backend, buffer, shape))
    }

    /// The elements, in row-major order.
    ///
    /// # Errors
    /// [`Error::DType`] if `T` is not the tensor's dtype.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        if self.dtype() != T::DTYPE {
            return Err(Error::DType {
                op: "to_vec",
                found: self.dtype(),
                expected: "the dtype of the vector's elements",
            });
        }
        let mut data = vec![T::zeroed(); self.shape.count()];
        self.backend.read(&self.buffer, &mut data)?;
        Ok(data)
    }

    /// The same elements on another backend, through the host's memory.
    pub fn to<C: Memory>(&self, backend: &C) -> Result<Tensor<C>> {
        match self.dtype() {
            DType::F32 => Tensor::from_slice(backend, self.shape, &self.to_vec::<f32>()?),
            DType::BF16 => Tensor::from_slice(backend, self.shape, &self.to_vec::<half::bf16>()?),
            DType::F16 => Tensor::from_slice(backend, self.shape, &self.to_vec::<half::f16>()?),
            DType::U8 => Tensor::from_slice(backend, self.shape, &self.to_vec::<u8>()?),
            DType::U32 => Tensor::from_slice(backend, self.shape, &self.to_vec::<u32>()?),
        }
    }

    /// The elements rounded to nearest even to another float dtype.
    ///
    /// # Errors
    /// [`Error::DType`] unless both dtypes are floats.
    pub fn cast(&self, dtype: DType) -> Result<Self> {
        for found in [self.dtype(), dtype] {
            if matches!(found, DType::U8 | DType::U32) {
                return Err(Error::DType { op: "cast", found, expected: "f32, bf16 or f16" });
            }
        }
        let mut buffer = self.backend.zeros(dtype, self.shape.count())?;
        self.backend.cast(self.shape.count(), &self.buffer, &mut buffer)?;
        Ok(Self::from_buffer(&self.backend, buffer, self.shape))
    }

    /// The same elements under another shape of the same count.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the counts differ.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if shape.count() != self.shape.count() {
            return Err(Error::ShapeMismatch {
                op: "reshape",
                left: self.shape,
                right: shape,
                rule: "both must have the same number of elements",
            });
        }
        Ok(Tensor { backend: self.backend.clone(), buffer: Arc::clone(&self.buffer), shape })
    }

    /// The extents, outermost first.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        B::dtype(&self.buffer)
    }

    /// Where the elements are.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// The elements as the backend traits take them.
    pub fn buffer(&self) -> &B::Buffer {
        &self.buffer
    }

    /// The elements for writing; copied first if another tensor shares them.
    pub fn buffer_mut(&mut self) -> Result<&mut B::Buffer> {
        if Arc::get_mut(&mut self.buffer).is_none() {
            let mut own = self.backend.zeros(self.dtype(), self.shape.count())?;
            self.backend.copy(self.shape.count(), &self.buffer, &mut own)?;
            self.buffer = Arc::new(own);
        }
        Ok(Arc::get_mut(&mut self.buffer).expect("made the only owner above"))
    }

    /// A tensor of a buffer that holds at least `shape`'s number of elements.
    pub fn from_buffer(backend: &B, buffer: B::Buffer, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        debug_assert!(B::capacity(&buffer) >= shape.count());
        Tensor { backend: backend.clone(), buffer: Arc::new(buffer), shape }
    }
}

impl<B: Memory> Clone for Tensor<B> {
    fn clone(&self) -> Self {
        Tensor {
            backend: self.backend.clone(),
            buffer: Arc::clone(&self.buffer),
            shape: self.shape,
        }
    }
}

impl<B: Memory> fmt::Debug for Tensor<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {} on {})", self.dtype(), self.shape, self.backend.name())
    }
}
