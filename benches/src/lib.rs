//! What the benches share: every operation at the shapes of real children, random inputs, a
//! landscape of rewards; and [`gpu_check`], the checks and measurements of a GPU.

pub mod case;
pub mod gpu_check;
pub mod landscape;
pub mod operations;

use nasrl_tensor::{Backend, DType, Result, Shape, Tensor};

/// A tensor of values uniform in [-1, 1): zeros would run faster than real data.
///
/// # Errors
/// If the backend has not got the memory.
pub fn uniform<B: Backend>(
    backend: &B,
    dtype: DType,
    shape: impl Into<Shape>,
) -> Result<Tensor<B>> {
    let shape = shape.into();
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let data: Vec<f32> = (0..shape.count()).map(|_| next()).collect();
    Tensor::from_slice(backend, shape, &data)?.cast(dtype)
}
