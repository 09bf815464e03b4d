use crate::{DType, Element, Result, ops};

/// Memory of a device: allocation and transfer.
///
/// A buffer has a dtype and a capacity. Operations take the counts that they work on from their
/// geometry, so that a buffer may be larger than what an operation touches; that is what lets a
/// compiled program use one buffer for several values.
pub trait Memory: Clone + Send + Sync + 'static {
    /// Elements of one dtype in the device's memory.
    type Buffer: Send + Sync;

    /// The device in words, such as `cpu (avx512)`.
    fn name(&self) -> String;

    /// A buffer of `len` zeros.
    fn zeros(&self, dtype: DType, len: usize) -> Result<Self::Buffer>;

    /// Copies `data` to the start of `to`, whose dtype is `T` and whose capacity suffices.
    fn write<T: Element>(&self, data: &[T], to: &mut Self::Buffer) -> Result<()>;

    /// Copies the first elements of `from`, whose dtype is `T`, to `data`.
    fn read<T: Element>(&self, from: &Self::Buffer, data: &mut [T]) -> Result<()>;

    /// Copies the first `len` elements of `from` to `to`; both have one dtype.
    fn copy(&self, len: usize, from: &Self::Buffer, to: &mut Self::Buffer) -> Result<()>;

    /// Converts the first `len` elements of `from` to the dtype of `to`; both are floats.
    fn cast(&self, len: usize, from: &Self::Buffer, to: &mut Self::Buffer) -> Result<()>;

    /// Sets the first `len` elements to zero.
    fn clear(&self, len: usize, buffer: &mut Self::Buffer) -> Result<()>;

    /// Waits until the device has done all that it was asked for.
    fn synchronize(&self) -> Result<()>;

    /// The dtype of a buffer.
    fn dtype(buffer: &Self::Buffer) -> DType;

    /// How many elements a buffer holds.
    fn capacity(buffer: &Self::Buffer) -> usize;
}

/// Work that a device does again without being told each part of it.
pub trait Record: Memory {
    /// Work that was recorded.
    type Recording: Send;

    /// Notes the operations that `work` asks for, without doing them; `None`, and `work` is not
    /// called, on a device that has nothing to gain. A recording keeps the memory that it uses.
    ///
    /// # Errors
    /// Those of the work, and [`Error::NotRecordable`](crate::Error::NotRecordable) if it
    /// allocates, exchanges something with the host, or asks for an operation whose kernels or
    /// scratch are not there yet: the same work is to have been done once before. The device is as
    /// it was then.
    fn record(&self, work: impl FnOnce() -> Result<()>) -> Result<Option<Self::Recording>>;

    /// Does the work, on the buffers that it was recorded with.
    ///
    /// # Errors
    /// Those of the device.
    fn replay(&self, recording: &Self::Recording) -> Result<()>;
}

/// Data that stays in a device's memory for everyone there.
pub trait Reside: Memory {
    /// Elements that everyone on the device may read; clones share them.
    type Resident: Clone + Send + Sync + 'static;

    /// Brings data to the device; `None` where the host's memory is the device's.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), or those of the device.
    fn reside<T: Element>(&self, data: &[T]) -> Result<Option<Self::Resident>>;

    /// The elements as a buffer of this backend, for reading only.
    ///
    /// # Errors
    /// [`Error::OtherDevice`](crate::Error::OtherDevice) if they are on another device.
    fn attach(&self, resident: &Self::Resident) -> Result<Self::Buffer>;
}

/// A device that implements every operation; nothing in it is optional.
pub trait Backend:
    Memory
    + Record
    + Reside
    + ops::ActivationBackend
    + ops::AddBackend
    + ops::AttentionBackend
    + ops::AugmentBackend
    + ops::BatchNormBackend
    + ops::BernoulliBackend
    + ops::BiasBackend
    + ops::CategoricalBackend
    + ops::ClassifierBackend
    + ops::ClipBackend
    + ops::ConcatBackend
    + ops::Conv2dBackend
    + ops::CrossEntropyBackend
    + ops::DropoutBackend
    + ops::EmbeddingBackend
    + ops::FusedConv2dBackend
    + ops::GlobalAveragePoolBackend
    + ops::LstmCellBackend
    + ops::MatmulBackend
    + ops::OptimizerBackend
    + ops::Pad2dBackend
    + ops::Pool2dBackend
    + ops::SelectBackend
    + ops::SoftmaxBackend
{
}

impl<B> Backend for B where
    B: Memory
        + Record
        + Reside
        + ops::ActivationBackend
        + ops::AddBackend
        + ops::AttentionBackend
        + ops::AugmentBackend
        + ops::BatchNormBackend
        + ops::BernoulliBackend
        + ops::BiasBackend
        + ops::CategoricalBackend
        + ops::ClassifierBackend
        + ops::ClipBackend
        + ops::ConcatBackend
        + ops::Conv2dBackend
        + ops::CrossEntropyBackend
        + ops::DropoutBackend
        + ops::EmbeddingBackend
        + ops::FusedConv2dBackend
        + ops::GlobalAveragePoolBackend
        + ops::LstmCellBackend
        + ops::MatmulBackend
        + ops::OptimizerBackend
        + ops::Pad2dBackend
        + ops::Pool2dBackend
        + ops::SelectBackend
        + ops::SoftmaxBackend
{
}
