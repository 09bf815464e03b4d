use super::{Padding, check};
use crate::{Error, Memory, Result, Shape, Tensor};

/// The geometry of zeros around NHWC images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pad2d {
    /// Height and width of an image without its zeros.
    pub input: [usize; 2],
    /// Channels of a pixel.
    pub channels: usize,
    /// The zeros.
    pub padding: Padding,
}

/// Padding on a device.
pub trait Pad2dBackend: Memory {
    /// Puts zeros around `images` images; `x` and `y` are of one float dtype.
    fn pad2d(
        &self,
        geometry: &Pad2d,
        images: usize,
        x: &Self::Buffer,
        y: &mut Self::Buffer,
    ) -> Result<()>;

    /// The gradient of `x`: `dy` without what lies around the images.
    fn pad2d_backward(
        &self,
        geometry: &Pad2d,
        images: usize,
        dy: &Self::Buffer,
        dx: &mut Self::Buffer,
    ) -> Result<()>;
}

impl Pad2d {
    /// Height and width of an image with its zeros.
    pub fn output(&self) -> [usize; 2] {
        self.padding.around(self.input)
    }
}

/// Puts zeros around images: `x` is `[n, h, w, c]`, the result
/// `[n, top + h + bottom, left + w + right, c]`.
///
/// # Errors
/// [`Error::Shape`] unless `x` is NHWC.
pub fn pad2d<B: Pad2dBackend>(x: &Tensor<B>, padding: Padding) -> Result<Tensor<B>> {
    const OP: &str = "pad2d";
    let [images, height, width, channels] = nhwc(OP, x)?;
    let geometry = Pad2d { input: [height, width], channels, padding };
    let [padded_height, padded_width] = geometry.output();
    let shape: Shape = [images, padded_height, padded_width, channels].into();
    let mut y = Tensor::zeros(x.backend(), x.dtype(), shape)?;
    x.backend().pad2d(&geometry, images, x.buffer(), y.buffer_mut()?)?;
    Ok(y)
}

/// The gradient of `x` of [`pad2d`]: `dy` without its border.
///
/// # Errors
/// [`Error::Shape`] unless `dy` is NHWC and at least as large as its border.
pub fn pad2d_backward<B: Pad2dBackend>(dy: &Tensor<B>, padding: Padding) -> Result<Tensor<B>> {
    const OP: &str = "pad2d_backward";
    let [images, height, width, channels] = nhwc(OP, dy)?;
    let [rows, columns] = padding.around([0, 0]);
    let (Some(height), Some(width)) = (height.checked_sub(rows), width.checked_sub(columns)) else {
        let rule = "height and width of dy are at least those of the padding";
        return Err(Error::Shape { op: OP, shape: dy.shape(), rule });
    };
    let geometry = Pad2d { input: [height, width], channels, padding };
    let mut dx = Tensor::zeros(dy.backend(), dy.dtype(), [images, height, width, channels])?;
    dy.backend().pad2d_backward(&geometry, images, dy.buffer(), dx.buffer_mut()?)?;
    Ok(dx)
}

fn nhwc<B: Memory>(op: &'static str, x: &Tensor<B>) -> Result<[usize; 4]> {
    check::float(op, x)?;
    <[usize; 4]>::try_from(x.shape().dims()).map_err(|_| Error::Shape {
        op,
        shape: x.shape(),
        rule: "activations are NHWC",
    })
}
