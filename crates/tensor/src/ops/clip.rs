use super::check;
use crate::{Backend, DType, Error, Memory, Result, Tensor};

/// Gradient clipping on a device, in f32.
pub trait ClipBackend: Memory {
    /// Scales all gradients, whole buffers of them, by `most / norm` if the Euclidean norm of all
    /// their elements together is above `most` (R. Pascanu et al., arXiv 1211.5063, section 3.2).
    fn clip(&self, most: f32, gradients: &mut [Self::Buffer]) -> Result<()>;
}

/// The gradients, scaled together so that their common Euclidean norm is at most `most`.
///
/// # Errors
/// [`Error::Parameter`] unless `most` is a positive number; [`Error::DType`] unless all are f32.
pub fn clip_global_norm<B: Backend>(gradients: &[Tensor<B>], most: f32) -> Result<Vec<Tensor<B>>> {
    const OP: &str = "clip_global_norm";
    if most.is_nan() || most <= 0.0 {
        let value = most.to_string();
        return Err(Error::Parameter { op: OP, name: "most", value, rule: "above 0" });
    }
    let Some(first) = gradients.first() else { return Ok(Vec::new()) };
    let backend = first.backend();
    let mut buffers = Vec::with_capacity(gradients.len());
    for gradient in gradients {
        check::dtype(OP, gradient, DType::F32, "f32")?;
        let count = gradient.shape().count();
        let mut buffer = backend.zeros(DType::F32, count)?;
        backend.copy(count, gradient.buffer(), &mut buffer)?;
        buffers.push(buffer);
    }
    backend.clip(most, &mut buffers)?;
    let shapes = gradients.iter().map(Tensor::shape);
    let tensor = |(buffer, shape)| Tensor::from_buffer(backend, buffer, shape);
    Ok(buffers.into_iter().zip(shapes).map(tensor).collect())
}
