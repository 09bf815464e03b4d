use super::{Padding, check};
use crate::{Error, Memory, Result, Shape, Tensor};

/// The geometry of pooling NHWC activations, channel by channel, over windows of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool2d {
    /// What becomes of a window.
    pub pooling: Pooling,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Channels of the input and of the output.
    pub channels: usize,
    /// Height and width of a window.
    pub window: [usize; 2],
    /// Distance of neighbouring windows, down and across.
    pub stride: [usize; 2],
    /// Pixels around the input that no result depends on; less than a window on each side, so that
    /// no window lies in the padding alone.
    pub padding: Padding,
}

/// What pooling makes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// The greatest of its pixels; NaN if one of them is.
    Max,
    /// The mean of those of its pixels that are not padding, as TensorFlow has it.
    Average,
}

/// Pooling on a device.
pub trait Pool2dBackend: Memory {
    /// Pools `images` images; `x` and `y` are of one float dtype.
    fn pool2d(
        &self,
        geometry: &Pool2d,
        images: usize,
        x: &Self::Buffer,
        y: &mut Self::Buffer,
    ) -> Result<()>;

    /// The gradient of `x`, summed over the windows in f32 and in their order. A maximum's goes to
    /// the first pixel of the window, in row-major order, that is the maximum, found again from
    /// `x`; an average's is spread evenly.
    fn pool2d_backward(
        &self,
        geometry: &Pool2d,
        images: usize,
        x: &Self::Buffer,
        dy: &Self::Buffer,
        dx: &mut Self::Buffer,
    ) -> Result<()>;
}

impl Pool2d {
    /// Windows side by side and no padding.
    pub fn new(pooling: Pooling, input: [usize; 2], channels: usize, window: [usize; 2]) -> Self {
        let padding = Padding::default();
        Pool2d { pooling, input, channels, window, stride: window, padding }
    }

    /// The same pooling with TensorFlow's 'same' padding, see [`Padding::same`].
    pub fn same(self) -> Self {
        Pool2d { padding: Padding::same(self.input, self.window, self.stride), ..self }
    }

    /// Height and width of the output: `(padded - window) / stride + 1`, rounded down.
    pub fn output(&self) -> [usize; 2] {
        let padded = self.padding.around(self.input);
        [0, 1].map(|axis| (padded[axis] - self.window[axis]) / self.stride[axis] + 1)
    }

    /// Checks that the geometry makes sense, for the operation named `op`.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the field.
    pub fn check(&self, op: &'static str) -> Result<()> {
        let refuse = |name, value: String, rule| Err(Error::Parameter { op, name, value, rule });
        for (name, extents) in
            [("input", self.input), ("window", self.window), ("stride", self.stride)]
        {
            if extents.contains(&0) {
                return refuse(name, format!("{extents:?}"), "at least 1");
            }
        }
        if self.channels == 0 {
            return refuse("channels", "0".to_string(), "at least 1");
        }
        let Padding { top, bottom, left, right } = self.padding;
        if top.max(bottom) >= self.window[0] || left.max(right) >= self.window[1] {
            let value = format!("{:?} around windows of {:?}", self.padding, self.window);
            return refuse("padding", value, "less than the window on each side");
        }
        let padded = self.padding.around(self.input);
        if self.window[0] > padded[0] || self.window[1] > padded[1] {
            let value = format!("{:?} on {padded:?} with padding", self.window);
            return refuse("window", value, "no larger than the padded input");
        }
        Ok(())
    }

    fn shapes(&self, images: usize) -> [Shape; 2] {
        [self.input, self.output()]
            .map(|[height, width]| [images, height, width, self.channels].into())
    }
}

/// Pools: `x` is `[n, h, w, c]`, the result `[n, p, q, c]` of the dtype of `x`.
///
/// # Errors
/// [`Error::Parameter`] if the geometry makes no sense; [`Error::ShapeMismatch`] if `x` is not of
/// its input and channels.
pub fn pool2d<B: Pool2dBackend>(x: &Tensor<B>, geometry: &Pool2d) -> Result<Tensor<B>> {
    let (images, output) = checked("pool2d", x, geometry)?;
    let mut y = Tensor::zeros(x.backend(), x.dtype(), output)?;
    x.backend().pool2d(geometry, images, x.buffer(), y.buffer_mut()?)?;
    Ok(y)
}

/// The gradient of `x` of [`pool2d`], of its shape and dtype: `dy` is `[n, p, q, c]`.
///
/// # Errors
/// Those of [`pool2d`], and of `dy` likewise.
pub fn pool2d_backward<B: Pool2dBackend>(
    x: &Tensor<B>,
    dy: &Tensor<B>,
    geometry: &Pool2d,
) -> Result<Tensor<B>> {
    const OP: &str = "pool2d_backward";
    let (images, output) = checked(OP, x, geometry)?;
    check::dtype(OP, dy, x.dtype(), "the dtype of x")?;
    check::shape(OP, dy.shape(), output, "dy is [n, rows, columns, channels]")?;
    let mut dx = Tensor::zeros(x.backend(), x.dtype(), x.shape())?;
    x.backend().pool2d_backward(geometry, images, x.buffer(), dy.buffer(), dx.buffer_mut()?)?;
    Ok(dx)
}

/// How many images there are, and the output's shape.
fn checked<B: Memory>(
    op: &'static str,
    x: &Tensor<B>,
    geometry: &Pool2d,
) -> Result<(usize, Shape)> {
    check::float(op, x)?;
    check::rank(op, x, 4, "activations are NHWC")?;
    geometry.check(op)?;
    let images = x.shape()[0];
    let [input, output] = geometry.shapes(images);
    check::shape(op, x.shape(), input, "x is [n, height, width, channels]")?;
    Ok((images, output))
}
