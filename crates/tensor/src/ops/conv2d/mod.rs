mod fused;

pub(crate) use fused::InSteps;
pub use fused::{
    Conv2dFusion, Conv2dParts, FilterGradients, FusedConv2dBackend, GradientForm, Normalised,
    Output, OutputGradient, Producer, Segment, SegmentMut, Sums, Through,
};

use super::{Padding, Sum, check};
use crate::{DType, Error, Memory, Result, Shape, Tensor};

/// The geometry of a convolution of NHWC activations with KRSC filters.
///
/// With padded input `X`, stride `u` and dilation `d`, for each image:
///
/// ```text
/// full       y[p, q, k] = sum_{r, s, c} X[p u_h + r d_h, q u_w + s d_w, c] w[k, r, s, c]
/// depthwise  y[p, q, c] = sum_{r, s}    X[p u_h + r d_h, q u_w + s d_w, c] w[c, r, s]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Channels of the input.
    pub channels: usize,
    /// Channels of the output; the input's for a depthwise convolution.
    pub filters: usize,
    /// Height and width of a filter.
    pub kernel: [usize; 2],
    /// Distance of neighbouring windows, down and across.
    pub stride: [usize; 2],
    /// Distance of neighbouring taps, down and across.
    pub dilation: [usize; 2],
    /// Zeros around the input.
    pub padding: Padding,
    /// Which channels a filter sees.
    pub connection: Connection,
}

/// Which input channels an output channel of a convolution sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Connection {
    /// All of them.
    Full,
    /// The one of the same index.
    Depthwise,
}

/// What a convolution does to its sums before it stores them: `f(y + bias)`.
#[derive(Debug)]
pub struct Epilogue<'a, B: Memory> {
    /// An f32 value for each filter.
    pub bias: Option<&'a B::Buffer>,
    /// Whether `f` is relu; other activations are steps of their own.
    pub relu: bool,
}

/// What a convolution takes beside the buffers that its caller gives it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dMemory {
    /// The plan, its filters included.
    pub plan: usize,
    /// What each thread that runs it keeps for its passes; convolutions that run one after another
    /// share it.
    pub scratch: usize,
    /// The most pieces that [`Conv2dBackend::conv2d_wgrad_pieces`] leaves the gradient in.
    pub pieces: usize,
    /// The most parts that [`FusedConv2dBackend`] leaves statistics in.
    pub parts: Conv2dParts,
}

/// Convolutions on a device.
///
/// A plan holds what depends on the geometry alone, and the filters in the form that the device's
/// kernels read: a compiled program makes it once, loads the filters once a training step and
/// then runs any number of images through it, from several threads at once.
pub trait Conv2dBackend: Memory {
    /// A convolution that is ready to run.
    type Conv2dPlan: Send + Sync;

    /// Prepares a convolution of activations of a dtype; its filters are zero.
    fn conv2d_plan(&self, geometry: &Conv2d, dtype: DType) -> Result<Self::Conv2dPlan>;

    /// What a convolution of at most so many images will take, before it is prepared.
    fn conv2d_memory(&self, geometry: &Conv2d, dtype: DType, images: usize) -> Conv2dMemory;

    /// Takes new f32 filters, rounded to the plan's dtype.
    fn conv2d_load(&self, plan: &mut Self::Conv2dPlan, filters: &Self::Buffer) -> Result<()>;

    /// [`Conv2dBackend::conv2d_load`] for each plan and its filters, which a device may do at once.
    fn conv2d_load_all(&self, plans: &mut [(&mut Self::Conv2dPlan, &Self::Buffer)]) -> Result<()> {
        plans.iter_mut().try_for_each(|(plan, filters)| self.conv2d_load(plan, filters))
    }

    /// `y = epilogue(x * w)` for `images` images.
    fn conv2d_fprop(
        &self,
        plan: &Self::Conv2dPlan,
        images: usize,
        x: &Self::Buffer,
        epilogue: Epilogue<'_, Self>,
        y: &mut Self::Buffer,
    ) -> Result<()>;

    /// `dx = dy * w^T`, the gradient of the input; where `mask` is given, zero where `mask <= 0`,
    /// which is the gradient through the relu whose output the mask is.
    fn conv2d_dgrad(
        &self,
        plan: &Self::Conv2dPlan,
        images: usize,
        dy: &Self::Buffer,
        mask: Option<&Self::Buffer>,
        dx: &mut Self::Buffer,
    ) -> Result<()>;

    /// `dw = x^T * dy`, the gradient of the filters summed over the images, in f32 and KRSC.
    fn conv2d_wgrad(
        &self,
        plan: &Self::Conv2dPlan,
        images: usize,
        x: &Self::Buffer,
        dy: &Self::Buffer,
        sum: Sum,
        dw: &mut Self::Buffer,
    ) -> Result<()>;

    /// How many pieces the gradient of the filters over so many images is left in, at least 1.
    fn conv2d_gradient_pieces(&self, plan: &Self::Conv2dPlan, images: usize) -> usize;

    /// The gradient of the filters as arrays of their size one after another,
    /// [`Conv2dBackend::conv2d_gradient_pieces`] of them: added up in their order they are what
    /// [`Conv2dBackend::conv2d_wgrad`] stores. For a reader that adds them up as it goes.
    fn conv2d_wgrad_pieces(
        &self,
        plan: &Self::Conv2dPlan,
        images: usize,
        x: &Self::Buffer,
        dy: &Self::Buffer,
        pieces: &mut Self::Buffer,
    ) -> Result<()>;
}

impl Conv2dMemory {
    /// That of a convolution whose results come in one piece.
    pub(crate) fn undivided(plan: usize, scratch: usize) -> Self {
        Conv2dMemory { plan, scratch, pieces: 1, parts: Conv2dParts { moments: 1, sums: 1 } }
    }
}

impl Conv2d {
    /// A full convolution with stride 1, no dilation and no padding.
    pub fn new(input: [usize; 2], channels: usize, filters: usize, kernel: [usize; 2]) -> Self {
        Conv2d {
            input,
            channels,
            filters,
            kernel,
            stride: [1, 1],
            dilation: [1, 1],
            padding: Padding::default(),
            connection: Connection::Full,
        }
    }

    /// Height and width of the output: `(padded - (kernel - 1) dilation - 1) / stride + 1`.
    pub fn output(&self) -> [usize; 2] {
        [0, 1].map(|axis| {
            let window = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
            (self.padded()[axis] - window) / self.stride[axis] + 1
        })
    }

    /// Height and width of the input with its padding.
    pub fn padded(&self) -> [usize; 2] {
        self.padding.around(self.input)
    }

    /// The same convolution with TensorFlow's 'same' padding: the output is the input divided by
    /// the stride, rounded up, and an odd zero goes to the bottom and the right.
    pub fn same(self) -> Self {
        let window = [0, 1].map(|axis| (self.kernel[axis] - 1) * self.dilation[axis] + 1);
        let padding = Padding::same(self.input, window, self.stride);
        Conv2d { padding, ..self }
    }

    /// The extents of the filters: KRSC, or KRS if depthwise.
    pub fn filter_shape(&self) -> Shape {
        let [r, s] = self.kernel;
        match self.connection {
            Connection::Full => [self.filters, r, s, self.channels].into(),
            Connection::Depthwise => [self.filters, r, s].into(),
        }
    }

    /// Floating-point operations of one pass over an image: two for a multiplication and addition.
    pub fn flops(&self) -> u64 {
        let products = self.filter_shape().count() * self.output().iter().product::<usize>();
        2 * products as u64
    }

    /// Checks that the geometry makes sense, for the operation named `op`.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the field.
    pub fn check(&self, op: &'static str) -> Result<()> {
        let refuse = |name, value: String, rule| Err(Error::Parameter { op, name, value, rule });
        for (name, extents) in [
            ("input", self.input),
            ("kernel", self.kernel),
            ("stride", self.stride),
            ("dilation", self.dilation),
            ("channels and filters", [self.channels, self.filters]),
        ] {
            if extents.contains(&0) {
                return refuse(name, format!("{extents:?}"), "at least 1");
            }
        }
        let window = [0, 1].map(|axis| (self.kernel[axis] - 1) * self.dilation[axis] + 1);
        let padded = self.padded();
        if window[0] > padded[0] || window[1] > padded[1] {
            let value = format!("{window:?} with dilation, on {padded:?} with padding");
            return refuse("kernel", value, "no larger than the padded input");
        }
        if self.connection == Connection::Depthwise && self.filters != self.channels {
            let value = format!("{} for {} channels", self.filters, self.channels);
            return refuse("filters", value, "the number of channels if depthwise");
        }
        Ok(())
    }

    fn image(&self, images: usize) -> Shape {
        [images, self.input[0], self.input[1], self.channels].into()
    }

    fn map(&self, images: usize) -> Shape {
        let [p, q] = self.output();
        [images, p, q, self.filters].into()
    }
}

/// `x * w`: `x` is `[n, h, w, c]`, the filters are f32 of [`Conv2d::filter_shape`], the result
/// `[n, p, q, k]` of the dtype of `x`.
pub fn conv2d<B: Conv2dBackend>(
    x: &Tensor<B>,
    w: &Tensor<B>,
    geometry: &Conv2d,
) -> Result<Tensor<B>> {
    const OP: &str = "conv2d";
    let images = images(OP, x)?;
    let plan = plan(OP, geometry, x, Some(w))?;
    check::shape(OP, x.shape(), geometry.image(images), "x is [n, height, width, channels]")?;
    let mut y = Tensor::zeros(x.backend(), x.dtype(), geometry.map(images))?;
    let epilogue = Epilogue { bias: None, relu: false };
    x.backend().conv2d_fprop(&plan, images, x.buffer(), epilogue, y.buffer_mut()?)?;
    Ok(y)
}

/// The gradient of `x` of [`conv2d`]: `dy` is `[n, p, q, k]`, the result `[n, h, w, c]`.
pub fn conv2d_dgrad<B: Conv2dBackend>(
    dy: &Tensor<B>,
    w: &Tensor<B>,
    geometry: &Conv2d,
) -> Result<Tensor<B>> {
    const OP: &str = "conv2d_dgrad";
    let images = images(OP, dy)?;
    let plan = plan(OP, geometry, dy, Some(w))?;
    check::shape(OP, dy.shape(), geometry.map(images), "dy is [n, rows, columns, filters]")?;
    let mut dx = Tensor::zeros(dy.backend(), dy.dtype(), geometry.image(images))?;
    dy.backend().conv2d_dgrad(&plan, images, dy.buffer(), None, dx.buffer_mut()?)?;
    Ok(dx)
}

/// The gradient of the filters of [`conv2d`], in f32 and of [`Conv2d::filter_shape`], summed over
/// the images.
pub fn conv2d_wgrad<B: Conv2dBackend>(
    x: &Tensor<B>,
    dy: &Tensor<B>,
    geometry: &Conv2d,
) -> Result<Tensor<B>> {
    const OP: &str = "conv2d_wgrad";
    let images = images(OP, x)?;
    let plan = plan(OP, geometry, x, None)?;
    check::dtype(OP, dy, x.dtype(), "the dtype of x")?;
    check::shape(OP, x.shape(), geometry.image(images), "x is [n, height, width, channels]")?;
    check::shape(OP, dy.shape(), geometry.map(images), "dy is [n, rows, columns, filters]")?;
    let mut dw = Tensor::zeros(x.backend(), DType::F32, geometry.filter_shape())?;
    let to = dw.buffer_mut()?;
    x.backend().conv2d_wgrad(&plan, images, x.buffer(), dy.buffer(), Sum::Store, to)?;
    Ok(dw)
}

fn images<B: Memory>(op: &'static str, activations: &Tensor<B>) -> Result<usize> {
    check::float(op, activations)?;
    check::rank(op, activations, 4, "activations are NHWC")?;
    Ok(activations.shape()[0])
}

fn plan<B: Conv2dBackend>(
    op: &'static str,
    geometry: &Conv2d,
    activations: &Tensor<B>,
    filters: Option<&Tensor<B>>,
) -> Result<B::Conv2dPlan> {
    geometry.check(op)?;
    let mut plan = activations.backend().conv2d_plan(geometry, activations.dtype())?;
    if let Some(filters) = filters {
        check::dtype(op, filters, DType::F32, "f32 filters, whatever the activations are")?;
        check::shape(op, filters.shape(), geometry.filter_shape(), "filters are KRSC")?;
        activations.backend().conv2d_load(&mut plan, filters.buffer())?;
    }
    Ok(plan)
}
