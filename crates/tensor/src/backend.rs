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

/// A device that implements every operation; nothing in it is optional.
pub trait Backend:
    Memory
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
    + ops::GlobalAveragePoolBackend
    + ops::LstmCellBackend
    + ops::MatmulBackend
    + ops::OptimizerBackend
    + ops::Pad2dBackend
    + ops::Pool2dBackend
    + ops::SoftmaxBackend
{
}

impl<B> Backend for B where
    B: Memory
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
        + ops::GlobalAveragePoolBackend
        + ops::LstmCellBackend
        + ops::MatmulBackend
        + ops::OptimizerBackend
        + ops::Pad2dBackend
        + ops::Pool2dBackend
        + ops::SoftmaxBackend
{
}
