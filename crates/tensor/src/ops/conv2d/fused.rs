//! Convolutions between batch normalisations and concatenations, of which neither has a pass of its
//! own: what is read is normalised and put side by side on the way, and what is written is cut up and
//! its statistics are taken.

use super::{Conv2d, Conv2dBackend, Epilogue};
use crate::ops::{
    Activation, ActivationBackend, BatchNormBackend, BiasBackend, ChannelRange, ConcatBackend,
    CopyChannels, Rows, Sum, Upstream,
};
use crate::{DType, Memory, Result};

/// Neighbouring channels of a convolution's input, `[n, height, width, channels]` of the plan's
/// dtype. Those of all segments together are the input's.
#[derive(Debug)]
pub struct Segment<'a, B: Memory> {
    /// The values, which the convolution sees as they are or normalised.
    pub x: &'a B::Buffer,
    /// How many channels there are.
    pub channels: usize,
    /// The batch normalisation in between.
    pub norm: Option<Normalised<'a, B>>,
}

/// `f(scale x + shift)` in place of `x`, rounded to its dtype as
/// [`BatchNormBackend::batch_norm_apply`] stores it.
#[derive(Debug)]
pub struct Normalised<'a, B: Memory> {
    /// `[4, c]`: scale, shift, mean, `1 / sqrt(variance + epsilon)`.
    pub normalizer: &'a B::Buffer,
    /// The activation `f`.
    pub activation: Option<Activation>,
}

/// The gradient of a convolution's output, `[n, p, q, filters]` of the plan's dtype.
#[derive(Debug)]
pub struct OutputGradient<'a, B: Memory> {
    /// The gradient of the output, or of what a batch normalisation made of it.
    pub dy: &'a B::Buffer,
    /// The batch normalisation in between.
    pub norm: Option<Through<'a, B>>,
}

/// `scale g + B y + C` with `g = f'(scale y + shift) dy` in place of `dy`, rounded to its dtype as
/// [`BatchNormBackend::batch_norm_backward_apply`] stores it.
#[derive(Debug)]
pub struct Through<'a, B: Memory> {
    /// The convolution's output, which is the input of the normalisation.
    pub y: &'a B::Buffer,
    /// `[4, c]`: scale, shift, B, C.
    pub coefficients: &'a B::Buffer,
    /// The activation `f`.
    pub activation: Option<Activation>,
}

/// Where a forward pass writes to.
#[derive(Debug)]
pub struct Output<'a, B: Memory> {
    /// `[n, p, q, filters]`.
    pub y: &'a mut B::Buffer,
    /// `[parts, 3, filters]` moments of `y` as it is stored, [`Conv2dParts::moments`] parts, for
    /// [`BatchNormBackend::batch_norm_normalizer`].
    pub moments: Option<&'a mut B::Buffer>,
}

/// Where the gradient of a [`Segment`] goes.
#[derive(Debug)]
pub struct SegmentMut<'a, B: Memory> {
    /// `[n, height, width, channels]`.
    pub dx: &'a mut B::Buffer,
    /// How many channels there are.
    pub channels: usize,
    /// Whether `dx` holds the part of other consumers already; a sum is rounded once more.
    pub sum: Sum,
    /// What made the segment.
    pub producer: Producer<'a, B>,
}

/// What made a segment, for its gradient.
#[derive(Debug)]
pub enum Producer<'a, B: Memory> {
    /// Anything; `dx` is the gradient of the segment.
    Any,
    /// A relu with this result: the gradient is zero where it is not above zero.
    Relu(&'a B::Buffer),
    /// A batch normalisation; `dx` is the gradient of its result, from before its activation.
    BatchNorm(Sums<'a, B>),
}

/// The sums that a batch normalisation needs of the gradient of its result, taken of `dx` as it is
/// stored: ask the last consumer for them.
#[derive(Debug)]
pub struct Sums<'a, B: Memory> {
    /// The input of the normalisation, like `dx`.
    pub x: &'a B::Buffer,
    /// `[4, c]`: scale, shift, mean, `1 / sqrt(variance + epsilon)`.
    pub normalizer: &'a B::Buffer,
    /// The activation that follows.
    pub activation: Option<Activation>,
    /// `[parts, 2, c]` for [`BatchNormBackend::batch_norm_coefficients`], [`Conv2dParts::sums`]
    /// parts.
    pub sums: &'a mut B::Buffer,
}

/// Where the gradients of filters and bias go, in f32.
#[derive(Debug)]
pub struct FilterGradients<'a, B: Memory> {
    /// KRSC.
    pub dw: &'a mut B::Buffer,
    /// The sums of the output's gradient, one for each filter.
    pub bias: Option<&'a mut B::Buffer>,
    /// Whether the buffers take the gradients or parts of them.
    pub form: GradientForm,
}

/// Whether gradients are summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GradientForm {
    /// They are.
    Total(Sum),
    /// They come in [`Conv2dBackend::conv2d_gradient_pieces`] arrays of their size each, one after
    /// another, that are to be added up in their order.
    Pieces,
}

/// What a device has kernels for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dFusion {
    /// What the channels of a segment are to be a multiple of.
    pub channels: usize,
    /// Most segments of an input.
    pub segments: usize,
}

/// How many parts statistics come in, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dParts {
    /// Of a forward pass: moments.
    pub moments: usize,
    /// Of a gradient of the input: sums.
    pub sums: usize,
}

/// Convolutions that read and write through batch normalisations and concatenations.
///
/// Results are those of the operations one after another: the same roundings where these store what
/// is not stored here, other orders of summation in the statistics alone. What a device has no
/// kernel for, it computes by just those operations, in scratch.
pub trait FusedConv2dBackend: Conv2dBackend {
    /// What the device has kernels for, with no activation or relu; `None` if it computes these
    /// convolutions by one operation after another, so that nothing is gained.
    fn conv2d_fusion(&self, geometry: &Conv2d, dtype: DType) -> Option<Conv2dFusion>;

    /// How many parts the statistics of so many images come in.
    fn conv2d_parts(&self, plan: &Self::Conv2dPlan, images: usize) -> Conv2dParts;

    /// [`Conv2dBackend::conv2d_fprop`] of segments, with the moments of the output.
    fn conv2d_fprop_fused(
        &self,
        plan: &Self::Conv2dPlan,
        images: usize,
        x: &[Segment<'_, Self>],
        epilogue: Epilogue<'_, Self>,
        output: Output<'_, Self>,
    ) -> Result<()>;

    /// [`Conv2dBackend::conv2d_dgrad`] through the normalisation that follows, to segments.
    fn conv2d_dgrad_fused(
        &self,
        plan: &Self::Conv2dPlan,
        images: usize,
        dy: &OutputGradient<'_, Self>,
        dx: &mut [SegmentMut<'_, Self>],
    ) -> Result<()>;

    /// [`Conv2dBackend::conv2d_wgrad`] of segments, through the normalisation that follows, with
    /// the gradient of a bias.
    fn conv2d_wgrad_fused(
        &self,
        plan: &Self::Conv2dPlan,
        images: usize,
        x: &[Segment<'_, Self>],
        dy: &OutputGradient<'_, Self>,
        gradients: FilterGradients<'_, Self>,
    ) -> Result<()>;
}

impl<'a, B: Memory> Segment<'a, B> {
    /// Channels that are read as they are stored.
    pub fn plain(x: &'a B::Buffer, channels: usize) -> Self {
        Segment { x, channels, norm: None }
    }
}

impl<'a, B: Memory> OutputGradient<'a, B> {
    /// A gradient that is read as it is stored.
    pub fn plain(dy: &'a B::Buffer) -> Self {
        OutputGradient { dy, norm: None }
    }
}

/// The operations that fused convolutions consist of.
pub(crate) trait Unfused:
    ActivationBackend + BatchNormBackend + BiasBackend + ConcatBackend + FusedConv2dBackend
{
}

impl<B> Unfused for B where
    B: ActivationBackend + BatchNormBackend + BiasBackend + ConcatBackend + FusedConv2dBackend
{
}

/// A convolution of so many images, computed by one operation after another.
pub(crate) struct InSteps<'a, B: Unfused> {
    pub(crate) on: &'a B,
    pub(crate) plan: &'a B::Conv2dPlan,
    pub(crate) geometry: &'a Conv2d,
    pub(crate) images: usize,
}

/// A buffer that is there or was made.
pub(crate) enum Whole<'a, B: Memory> {
    Stored(&'a B::Buffer),
    Made(B::Buffer),
}

impl<B: Memory> Whole<'_, B> {
    pub(crate) fn buffer(&self) -> &B::Buffer {
        match self {
            Whole::Stored(buffer) => buffer,
            Whole::Made(buffer) => buffer,
        }
    }
}

impl<B: Unfused> InSteps<'_, B> {
    pub(crate) fn fprop(
        &self,
        x: &[Segment<'_, B>],
        epilogue: Epilogue<'_, B>,
        output: Output<'_, B>,
    ) -> Result<()> {
        let Output { y, moments } = output;
        let x = self.input(x)?;
        self.on.conv2d_fprop(self.plan, self.images, x.buffer(), epilogue, y)?;
        let Some(moments) = moments else { return Ok(()) };
        let parts = self.on.conv2d_parts(self.plan, self.images).moments;
        self.clear_parts(parts, 3 * self.geometry.filters, moments)?;
        self.on.batch_norm_moments(self.outputs(), y, moments)
    }

    pub(crate) fn dgrad(
        &self,
        dy: &OutputGradient<'_, B>,
        dx: &mut [SegmentMut<'_, B>],
    ) -> Result<()> {
        let (on, images) = (self.on, self.images);
        let dy = self.gradient(dy)?;
        let rows = self.inputs();
        let mut whole = on.zeros(B::dtype(dy.buffer()), rows.elements())?;
        on.conv2d_dgrad(self.plan, images, dy.buffer(), None, &mut whole)?;
        let mut from = ChannelRange { first: 0, width: rows.channels };
        for SegmentMut { dx, channels, sum, producer } in dx {
            let rows = Rows { channels: *channels, ..rows };
            let to = ChannelRange { first: 0, width: *channels };
            let slice = CopyChannels { rows: rows.count, channels: *channels, from, to };
            from.first += *channels;
            if let Producer::Relu(y) = producer {
                let zeros = || on.zeros(B::dtype(dx), rows.elements());
                let (mut before, mut after) = (zeros()?, zeros()?);
                on.copy_channels(&slice, &whole, Sum::Store, &mut before)?;
                let relu = Activation::Relu;
                on.activation_backward(relu, rows.elements(), y, &before, &mut after)?;
                on.copy_channels(&CopyChannels { from: to, ..slice }, &after, *sum, dx)?;
            } else {
                on.copy_channels(&slice, &whole, *sum, dx)?;
            }
            let Producer::BatchNorm(Sums { x, normalizer, activation, sums }) = producer else {
                continue;
            };
            let parts = on.conv2d_parts(self.plan, images).sums;
            self.clear_parts(parts, 2 * *channels, sums)?;
            let upstream = Upstream { activation: *activation, x: *x, dy: *dx };
            on.batch_norm_backward_sums(rows, &upstream, normalizer, sums)?;
        }
        Ok(())
    }

    pub(crate) fn wgrad(
        &self,
        x: &[Segment<'_, B>],
        dy: &OutputGradient<'_, B>,
        gradients: FilterGradients<'_, B>,
    ) -> Result<()> {
        let (on, images) = (self.on, self.images);
        let (x, dy) = (self.input(x)?, self.gradient(dy)?);
        let FilterGradients { dw, bias, form } = gradients;
        let (x, dy) = (x.buffer(), dy.buffer());
        match form {
            GradientForm::Total(sum) => on.conv2d_wgrad(self.plan, images, x, dy, sum, dw)?,
            GradientForm::Pieces => on.conv2d_wgrad_pieces(self.plan, images, x, dy, dw)?,
        }
        let Some(bias) = bias else { return Ok(()) };
        let sum = match form {
            GradientForm::Total(sum) => sum,
            GradientForm::Pieces => {
                let pieces = on.conv2d_gradient_pieces(self.plan, images);
                self.clear_parts(pieces, self.geometry.filters, bias)?;
                Sum::Store
            }
        };
        on.bias_backward(self.outputs(), dy, sum, bias)
    }

    /// The segments side by side.
    pub(crate) fn input<'x>(&self, segments: &[Segment<'x, B>]) -> Result<Whole<'x, B>> {
        if let &[Segment { x, norm: None, .. }] = segments {
            return Ok(Whole::Stored(x));
        }
        let (on, rows) = (self.on, self.inputs());
        let dtype = segments.first().map_or(crate::DType::F32, |segment| B::dtype(segment.x));
        let mut whole = on.zeros(dtype, rows.elements())?;
        let mut to = ChannelRange { first: 0, width: rows.channels };
        for &Segment { x, channels, ref norm } in segments {
            let rows = Rows { channels, ..rows };
            let from = ChannelRange { first: 0, width: channels };
            let slice = CopyChannels { rows: rows.count, channels, from, to };
            to.first += channels;
            let Some(Normalised { normalizer, activation }) = norm else {
                on.copy_channels(&slice, x, Sum::Store, &mut whole)?;
                continue;
            };
            let mut normal = on.zeros(dtype, rows.elements())?;
            on.batch_norm_apply(*activation, rows, x, normalizer, &mut normal)?;
            on.copy_channels(&slice, &normal, Sum::Store, &mut whole)?;
        }
        Ok(Whole::Made(whole))
    }

    /// The gradient of the output itself.
    pub(crate) fn gradient<'x>(&self, gradient: &OutputGradient<'x, B>) -> Result<Whole<'x, B>> {
        let &OutputGradient { dy, ref norm } = gradient;
        let Some(Through { y, coefficients, activation }) = norm else {
            return Ok(Whole::Stored(dy));
        };
        let rows = self.outputs();
        let mut of_output = self.on.zeros(B::dtype(dy), rows.elements())?;
        let upstream = Upstream { activation: *activation, x: *y, dy };
        self.on.batch_norm_backward_apply(rows, &upstream, coefficients, &mut of_output)?;
        Ok(Whole::Made(of_output))
    }

    /// Makes all parts but the first ones that nothing comes of.
    fn clear_parts(&self, parts: usize, len: usize, buffer: &mut B::Buffer) -> Result<()> {
        if parts == 1 { Ok(()) } else { self.on.clear(parts * len, buffer) }
    }

    fn inputs(&self) -> Rows {
        let count = self.images * self.geometry.input.iter().product::<usize>();
        Rows { count, channels: self.geometry.channels }
    }

    fn outputs(&self) -> Rows {
        let count = self.images * self.geometry.output().iter().product::<usize>();
        Rows { count, channels: self.geometry.filters }
    }
}
