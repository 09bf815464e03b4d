use half::{bf16, f16};
use nasrl_tensor::{DType, Element, Memory, Shape, Tensor};

/// The dtypes that operations compute with.
pub const FLOATS: [DType; 3] = [DType::F32, DType::BF16, DType::F16];

/// A tensor of the values rounded to a float dtype.
///
/// # Panics
/// If the values are not as many as the shape has elements.
#[track_caller]
pub fn tensor<B: Memory>(
    backend: &B,
    dtype: DType,
    shape: impl Into<Shape>,
    values: &[f32],
) -> Tensor<B> {
    let tensor = Tensor::from_slice(backend, shape, values).and_then(|x| x.cast(dtype));
    tensor.expect("as many values as elements")
}

/// The elements of a float tensor, which are exact in f32.
///
/// # Panics
/// If the tensor's dtype is not a float.
#[track_caller]
pub fn values<B: Memory>(tensor: &Tensor<B>) -> Vec<f32> {
    tensor.cast(DType::F32).and_then(|x| x.to_vec()).expect("a float tensor")
}

/// All elements of a buffer of `T`.
///
/// # Panics
/// If `T` is not the buffer's dtype.
#[track_caller]
pub fn elements<T: Element, B: Memory>(backend: &B, buffer: &B::Buffer) -> Vec<T> {
    let mut elements = vec![T::zeroed(); B::capacity(buffer)];
    backend.read(buffer, &mut elements).expect("a buffer of the type");
    elements
}

/// The values as a float dtype stores them, for references.
pub fn rounded(dtype: DType, values: &[f32]) -> Vec<f64> {
    let round = |&value: &f32| match dtype {
        DType::BF16 => bf16::from_f32(value).to_f64(),
        DType::F16 => f16::from_f32(value).to_f64(),
        _ => f64::from(value),
    };
    values.iter().map(round).collect()
}
