use super::check;
use crate::{DType, Error, Memory, Result, Tensor};

/// Gradient clipping on a device, in f32.
pub trait ClipBackend: Memory {
    /// Scales all gradients by `most / norm` if the Euclidean norm of all of them together is above
    /// `most`; each comes with its number of elements. The squares are added up in f64, in an order
    /// that depends on these numbers alone. A norm that is not finite leaves the gradients as they
    /// are, for the caller to find.
    fn clip_global_norm(
        &self,
        most: f32,
        gradients: &mut [(usize, &mut Self::Buffer)],
    ) -> Result<()>;
}

/// Scales the gradients by `min(1, most / norm)`, where `norm` is the Euclidean norm of all their
/// elements together (Pascanu et al. 2013, arXiv 1211.5063, section 3.2). A norm that is not finite
/// leaves them as they are.
///
/// # Errors
/// [`Error::Parameter`] unless `most` is above 0; [`Error::DType`] unless all are f32.
pub fn clip_global_norm<B: ClipBackend>(most: f32, gradients: &mut [Tensor<B>]) -> Result<()> {
    const OP: &str = "clip_global_norm";
    if most.is_nan() || most <= 0.0 {
        let value = most.to_string();
        return Err(Error::Parameter { op: OP, name: "most", value, rule: "above 0" });
    }
    for gradient in &*gradients {
        check::dtype(OP, gradient, DType::F32, "f32")?;
    }
    let Some(on) = gradients.first().map(|gradient| gradient.backend().clone()) else {
        return Ok(());
    };
    let each = gradients.iter_mut();
    let mut buffers = each
        .map(|gradient| Ok((gradient.shape().count(), gradient.buffer_mut()?)))
        .collect::<Result<Vec<_>>>()?;
    on.clip_global_norm(most, &mut buffers)
}
