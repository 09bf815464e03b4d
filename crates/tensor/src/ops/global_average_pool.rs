use super::check;
use crate::{DType, Error, Memory, Result, Shape, Tensor};

/// The geometry of a mean over the pixels of each image and channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GlobalAveragePool {
    /// How many images there are.
    pub images: usize,
    /// Height times width of an image.
    pub pixels: usize,
    /// Channels of a pixel.
    pub channels: usize,
}

/// Global average pooling on a device.
pub trait GlobalAveragePoolBackend: Memory {
    /// `y[n, c] = sum_p x[n, p, c] / pixels`; `x` is of any float dtype, `y` is f32.
    fn global_average_pool(
        &self,
        geometry: &GlobalAveragePool,
        x: &Self::Buffer,
        y: &mut Self::Buffer,
    ) -> Result<()>;

    /// `dx[n, p, c] = dy[n, c] / pixels`; `dy` is f32, `dx` of any float dtype. Where `mask`, of
    /// the dtype of `dx`, is given, zero where `mask <= 0`, which is the gradient through the relu
    /// whose output the mask is.
    fn global_average_pool_backward(
        &self,
        geometry: &GlobalAveragePool,
        dy: &Self::Buffer,
        mask: Option<&Self::Buffer>,
        dx: &mut Self::Buffer,
    ) -> Result<()>;
}

/// The mean over the pixels: `x` is `[n, h, w, c]`, the result `[n, c]` in f32.
///
/// # Errors
/// [`Error::Shape`] unless `x` is NHWC with at least one pixel and channel.
pub fn global_average_pool<B: GlobalAveragePoolBackend>(x: &Tensor<B>) -> Result<Tensor<B>> {
    const OP: &str = "global_average_pool";
    check::float(OP, x)?;
    let geometry = geometry(OP, x.shape())?;
    let mut y = Tensor::zeros(x.backend(), DType::F32, [geometry.images, geometry.channels])?;
    x.backend().global_average_pool(&geometry, x.buffer(), y.buffer_mut()?)?;
    Ok(y)
}

/// The gradient of `x` of [`global_average_pool`], of the shape and dtype of `x`: `dy` is `[n, c]`
/// and f32.
///
/// # Errors
/// [`Error::ShapeMismatch`] unless `dy` has the images and channels of `shape`.
pub fn global_average_pool_backward<B: GlobalAveragePoolBackend>(
    dy: &Tensor<B>,
    shape: impl Into<Shape>,
    dtype: DType,
) -> Result<Tensor<B>> {
    const OP: &str = "global_average_pool_backward";
    let shape = shape.into();
    let geometry = geometry(OP, shape)?;
    check::dtype(OP, dy, DType::F32, "f32, whatever the activations are")?;
    let expected = [geometry.images, geometry.channels].into();
    check::shape(OP, dy.shape(), expected, "dy is [images, channels] of x")?;
    let mut dx = Tensor::zeros(dy.backend(), dtype, shape)?;
    check::float(OP, &dx)?;
    dy.backend().global_average_pool_backward(&geometry, dy.buffer(), None, dx.buffer_mut()?)?;
    Ok(dx)
}

fn geometry(op: &'static str, shape: Shape) -> Result<GlobalAveragePool> {
    match *shape.dims() {
        [images, height, width, channels] if height * width * channels > 0 => {
            Ok(GlobalAveragePool { images, pixels: height * width, channels })
        }
        _ => Err(Error::Shape { op, shape, rule: "x is NHWC with at least one pixel and channel" }),
    }
}
