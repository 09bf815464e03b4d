use super::{Activation, Sum, check};
use crate::{DType, Error, Memory, Result, Shape, Tensor};

/// The head of a network on a batch, or a block of one: the mean over the pixels of each image and
/// channel, a dense layer, and the cross-entropy of its logits' softmax with the labels.
#[derive(Clone, Copy, Debug)]
pub struct Classifier {
    /// How many images there are.
    pub images: usize,
    /// Height times width of an image.
    pub pixels: usize,
    /// Channels of a pixel, the inputs of the dense layer.
    pub channels: usize,
    /// The outputs of the dense layer.
    pub classes: usize,
    /// What losses and gradients are divided by: the size of the whole batch, so that the blocks'
    /// losses and gradients add up to those of the mean.
    pub divisor: f32,
    /// Whether sums and gradients other than `dx` are added to what is there.
    pub sum: Sum,
}

/// What a [`Classifier`] reads; `T` is a tensor, or its buffer.
#[derive(Debug)]
pub struct ClassifierInputs<'a, T> {
    /// `[images, pixels, channels]` of any float dtype.
    pub x: &'a T,
    /// What is averaged.
    pub pooled: Pooled<'a, T>,
    /// `[channels, classes]`, f32.
    pub weight: &'a T,
    /// `[classes]`, f32.
    pub bias: &'a T,
    /// `[images]`, u32, each below the number of classes.
    pub labels: &'a T,
}

/// What a [`Classifier`] averages over the pixels.
#[derive(Debug)]
pub enum Pooled<'a, T> {
    /// `x`.
    Plain,
    /// `x`, which is the output of a relu: `dx` is the gradient of the relu's input, zero where
    /// `x <= 0`.
    Relu,
    /// `f(scale x + shift)`: `dx` is the gradient of that, before the activation's part in it, and
    /// comes with the sums that the gradient through the batch normalisation needs.
    Normalized {
        /// `[4, c]` and f32, see [`BatchNormBackend`](super::BatchNormBackend).
        normalizer: &'a T,
        /// The fused activation `f`.
        activation: Option<Activation>,
    },
}

/// What the gradients of a [`Classifier`] are written to; `T` is a tensor, or its buffer.
///
/// Those of the parameters come in [`ClassifierBackend::classifier_pieces`], one after another,
/// which are to be added up in their order.
#[derive(Debug)]
pub struct ClassifierGradients<T> {
    /// `[images, pixels, channels]`, of the dtype of `x`; see [`Pooled`].
    pub dx: T,
    /// `[pieces, channels, classes]`, f32.
    pub dweight: T,
    /// `[pieces, classes]`, f32.
    pub dbias: T,
    /// With [`Pooled::Normalized`] and only then `[pieces, 2, channels]`, f32: the sums `S1 = sum g`
    /// and `S2 = sum g (x - mean)` with `g = f'(scale x + shift) dx`.
    pub norm_sums: Option<T>,
}

/// The head of a network on a device.
///
/// ```text
/// features[n, c] = sum_p a[n, p, c] / pixels, where a is what `pooled` says
/// logits         = features weight + bias
/// loss           = sum_n -ln softmax(logits[n])[label[n]] / divisor
/// dlogits        = (softmax(logits) - onehot(label)) / divisor
/// dweight        = features^T dlogits, dbias = sum_n dlogits[n]
/// dx[n, p, c]    = sum_k dlogits[n, k] weight[c, k] / pixels
/// ```
///
/// `sums` holds pairs of f32: the loss, and how many images have their largest logit, the first
/// among equals, at their label. Without a `clock` the first pair is written; the clock, two u32
/// `[step, row]`, says which otherwise, and `sums` has that many.
pub trait ClassifierBackend: Memory {
    /// Whether the device has a kernel for it, so that it is faster than its parts.
    fn fuses_classifier(&self) -> bool;

    /// How many pieces the gradients of the parameters come in: a number that the geometry alone
    /// decides, at least 1 and not more than for more images.
    fn classifier_pieces(&self, geometry: &Classifier) -> usize;

    /// The loss and the number of correct predictions.
    fn classifier(
        &self,
        geometry: &Classifier,
        inputs: &ClassifierInputs<'_, Self::Buffer>,
        clock: Option<&Self::Buffer>,
        sums: &mut Self::Buffer,
    ) -> Result<()>;

    /// The same, and the gradients.
    fn classifier_with_gradients(
        &self,
        geometry: &Classifier,
        inputs: &ClassifierInputs<'_, Self::Buffer>,
        clock: Option<&Self::Buffer>,
        sums: &mut Self::Buffer,
        gradients: ClassifierGradients<&mut Self::Buffer>,
    ) -> Result<()>;
}

/// The loss of NHWC images, summed and divided by `divisor`, which is their number for the mean,
/// and how many predictions are correct: an f32 tensor `[loss, correct]`.
///
/// # Errors
/// [`Error::DType`], [`Error::Shape`] or [`Error::ShapeMismatch`] for operands of other types or
/// shapes than those of [`ClassifierInputs`], [`Error::Index`] for a label that is no class,
/// [`Error::Parameter`] unless the divisor is positive and finite.
pub fn classifier<B: ClassifierBackend>(
    inputs: &ClassifierInputs<'_, Tensor<B>>,
    divisor: f32,
) -> Result<Tensor<B>> {
    let geometry = Classifier::of("classifier", inputs, divisor)?;
    let on = inputs.x.backend();
    let mut sums = Tensor::zeros(on, DType::F32, [2])?;
    on.classifier(&geometry, &inputs.buffers(), None, sums.buffer_mut()?)?;
    Ok(sums)
}

/// What [`classifier`] computes, and the gradients of the loss, those of the parameters in pieces.
///
/// # Errors
/// Those of [`classifier`].
pub fn classifier_with_gradients<B: ClassifierBackend>(
    inputs: &ClassifierInputs<'_, Tensor<B>>,
    divisor: f32,
) -> Result<(Tensor<B>, ClassifierGradients<Tensor<B>>)> {
    let geometry = Classifier::of("classifier_with_gradients", inputs, divisor)?;
    let Classifier { channels, classes, .. } = geometry;
    let on = inputs.x.backend();
    let pieces = on.classifier_pieces(&geometry);
    let mut sums = Tensor::zeros(on, DType::F32, [2])?;
    let mut dx = Tensor::zeros(on, inputs.x.dtype(), inputs.x.shape())?;
    let mut dweight = Tensor::zeros(on, DType::F32, [pieces, channels, classes])?;
    let mut dbias = Tensor::zeros(on, DType::F32, [pieces, classes])?;
    let mut norm_sums = match inputs.pooled {
        Pooled::Plain | Pooled::Relu => None,
        Pooled::Normalized { .. } => Some(Tensor::zeros(on, DType::F32, [pieces, 2, channels])?),
    };
    let gradients = ClassifierGradients {
        dx: dx.buffer_mut()?,
        dweight: dweight.buffer_mut()?,
        dbias: dbias.buffer_mut()?,
        norm_sums: norm_sums.as_mut().map(Tensor::buffer_mut).transpose()?,
    };
    let buffers = inputs.buffers();
    on.classifier_with_gradients(&geometry, &buffers, None, sums.buffer_mut()?, gradients)?;
    Ok((sums, ClassifierGradients { dx, dweight, dbias, norm_sums }))
}

impl Classifier {
    /// Elements of the images.
    pub fn elements(&self) -> usize {
        self.images * self.pixels * self.channels
    }

    fn of<B: Memory>(
        op: &'static str,
        inputs: &ClassifierInputs<'_, Tensor<B>>,
        divisor: f32,
    ) -> Result<Self> {
        let ClassifierInputs { x, pooled, weight, bias, labels } = inputs;
        check::float(op, x)?;
        let &[images, height, width, channels] = x.shape().dims() else {
            return Err(Error::Shape { op, shape: x.shape(), rule: IMAGES });
        };
        if x.shape().count() == 0 {
            return Err(Error::Shape { op, shape: x.shape(), rule: IMAGES });
        }
        let single = |tensor: &Tensor<B>, shape: Shape, rule| {
            check::dtype(op, tensor, DType::F32, "f32 parameters")?;
            check::shape(op, tensor.shape(), shape, rule)
        };
        check::rank(op, weight, 2, "a weight is [channels, classes]")?;
        let classes = weight.shape().dims()[1];
        let rule = "a weight is [channels, classes] with at least one class";
        if classes == 0 {
            return Err(Error::Shape { op, shape: weight.shape(), rule });
        }
        single(weight, [channels, classes].into(), rule)?;
        single(bias, [classes].into(), "a bias is [classes]")?;
        if let Pooled::Normalized { normalizer, .. } = pooled {
            single(normalizer, [4, channels].into(), "a normalizer is [4, channels]")?;
        }
        let rule = "labels are [n], one for each image";
        check::shape(op, labels.shape(), [images].into(), rule)?;
        check::indices(op, "label", labels, classes)?;
        if !(divisor > 0.0 && divisor.is_finite()) {
            let (name, value) = ("divisor", divisor.to_string());
            return Err(Error::Parameter { op, name, value, rule: "positive and finite" });
        }
        let pixels = height * width;
        Ok(Classifier { images, pixels, channels, classes, divisor, sum: Sum::Store })
    }
}

const IMAGES: &str = "x is NHWC with at least one image, pixel and channel";

impl<'a, B: Memory> ClassifierInputs<'a, Tensor<B>> {
    fn buffers(&self) -> ClassifierInputs<'a, B::Buffer> {
        ClassifierInputs {
            x: self.x.buffer(),
            pooled: match &self.pooled {
                Pooled::Plain => Pooled::Plain,
                Pooled::Relu => Pooled::Relu,
                &Pooled::Normalized { normalizer, activation } => {
                    Pooled::Normalized { normalizer: normalizer.buffer(), activation }
                }
            },
            weight: self.weight.buffer(),
            bias: self.bias.buffer(),
            labels: self.labels.buffer(),
        }
    }
}
