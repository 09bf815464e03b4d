//! What a program is made of: values, the steps that compute them, and reductions between steps.

use nasrl_space::Image;
use nasrl_tensor::DType;
use nasrl_tensor::ops::{Activation, Conv2dFusion, Conv2dParts, Pad2d, Pool2d};

use super::parameters::{NormId, ParameterId};

/// Something that is computed for a block of images, by exactly one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ValueId(pub(super) usize);

/// What a value is for a block of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) extent: Extent,
    pub(super) dtype: DType,
}

/// How many elements a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// So many for each image.
    Image(usize),
    /// So many for the block.
    Block(usize),
}

/// What a program's steps are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Augmentation, dropout, batch statistics, and gradients.
    Training,
    /// None of them; running statistics.
    Inference,
}

/// One operation on the values of a block of images.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) operation: Operation,
    pub(super) inputs: Vec<ValueId>,
    pub(super) outputs: Vec<Output>,
}

/// Where the result of a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Value(ValueId),
    /// Added to the gradient of a parameter over the images of a group.
    Gradient(ParameterId),
}

/// What a step computes. The comments list its inputs in order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operation {
    /// The images' bytes.
    Images,
    /// The images' places in the dataset.
    Indices,
    /// The images' classes.
    Labels,
    /// bytes, indices
    Augment { image: Image, mode: Mode },
    /// x
    Conv2d { filters: ParameterId, bias: Option<ParameterId>, relu: bool },
    /// dy and, where the relu before the convolution is undone in the same pass, its output
    Conv2dDgrad { filters: ParameterId },
    /// x, dy
    Conv2dWgrad { filters: ParameterId },
    /// x
    Bias { bias: ParameterId, channels: usize },
    /// dy
    BiasBackward { channels: usize },
    /// x
    Dense { weight: ParameterId, extents: [usize; 2] },
    /// dy
    DenseDgrad { weight: ParameterId, extents: [usize; 2] },
    /// x, dy
    DenseWgrad { extents: [usize; 2] },
    /// x
    Activation(Activation),
    /// y, dy
    ActivationBackward(Activation),
    /// x
    BatchNormMoments { channels: usize },
    /// x
    BatchNormApply { norm: NormId, channels: usize, activation: Option<Activation> },
    /// x, dy
    BatchNormSums { norm: NormId, channels: usize, activation: Option<Activation> },
    /// x, dy
    BatchNormBackward { norm: NormId, channels: usize, activation: Option<Activation> },
    /// x
    Pool2d(Pool2d),
    /// x, dy
    Pool2dBackward(Pool2d),
    /// x
    GlobalAveragePool { pixels: usize, channels: usize },
    /// dy and, where the relu before the pooling is undone in the same pass, its output
    GlobalAveragePoolBackward { pixels: usize, channels: usize },
    /// x forward, dy backward
    Dropout { stream: usize, rate: f32 },
    /// a, b
    Add,
    /// any number
    Concat { pixels: usize },
    /// dy: the channels of one of the inputs of a concatenation
    Slice { pixels: usize, first: usize, channels: usize },
    /// x
    Pad2d(Pad2d),
    /// dy
    Pad2dBackward(Pad2d),
    /// x
    Cast,
    /// A convolution with what stands around it; its place among the listing's, see [`Folded`].
    Folded(usize),
    /// logits, labels; the result is the logits' gradient, and loss and correct answers are added
    /// to those of the group
    Loss,
}

/// A pass of a convolution that reads and writes through what stands around it. The comments list
/// inputs and outputs in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Folded {
    /// The segments; the output and its moments, where they are wanted.
    Fprop {
        filters: ParameterId,
        bias: Option<ParameterId>,
        relu: bool,
        segments: Vec<Read>,
        moments: bool,
    },
    /// dy and, if it comes through a normalisation, that one's input; for each segment what its
    /// gradient is added to, and what its producer wants to be told of; the segments' gradients,
    /// then their sums.
    Dgrad { filters: ParameterId, through: Option<Normed>, segments: Vec<Write> },
    /// The segments, then as for dgrad; the gradients of the filters and of a bias.
    Wgrad { filters: ParameterId, through: Option<Normed>, segments: Vec<Read> },
}

/// A batch normalisation and the activation after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Normed {
    pub(super) norm: NormId,
    pub(super) activation: Option<Activation>,
}

/// Channels that a convolution reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) channels: usize,
    pub(super) norm: Option<Normed>,
}

/// Channels that the gradient of a convolution's input is written to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Write {
    pub(super) channels: usize,
    /// Whether it is added to an input.
    pub(super) adds: bool,
    pub(super) producer: Option<Made>,
}

/// What made a segment and wants more of its gradient than that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Made {
    /// A relu, whose result is an input.
    Relu,
    /// A normalisation, whose input is one.
    BatchNorm(Normed),
}

/// How a device folds what stands around a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Folding {
    pub(super) device: Conv2dFusion,
    /// Parts of the statistics of a block, at most.
    pub(super) parts: Conv2dParts,
    /// Pixels and channels of the input.
    pub(super) pixels: usize,
    pub(super) channels: usize,
    /// Channels of the output.
    pub(super) filters: usize,
}

/// What happens once a value was computed for all blocks of the batch: it is combined to a
/// statistic of a batch normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reduction {
    pub(super) statistic: Statistic,
    pub(super) norm: NormId,
    pub(super) value: ValueId,
    /// The filters of the convolution that leaves the value in parts, if one does.
    pub(super) parts_of: Option<ParameterId>,
}

/// What is made of the values of the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statistic {
    /// Of their moments the batch's normalizer.
    Normalizer,
    /// Of their sums the parameters' gradients and the coefficients of the input's.
    Coefficients,
}

/// A program before its buffers are planned: steps in order, cut into stages by reductions.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) values: Vec<Value>,
    pub(super) steps: Vec<Step>,
    pub(super) folded: Vec<Folded>,
    /// Each with the number of steps that come before it.
    pub(super) reductions: Vec<(usize, Reduction)>,
}

impl Value {
    /// How many elements it has for a block of `images`.
    pub(super) fn len(self, images: usize) -> usize {
        match self.extent {
            Extent::Image(elements) => images * elements,
            Extent::Block(elements) => elements,
        }
    }

    /// How many elements it has for an image.
    pub(super) fn of_image(self) -> usize {
        self.len(1)
    }
}

impl Operation {
    /// The normalisation that a step is part of.
    pub(super) fn normed(self) -> Option<Normed> {
        match self {
            Operation::BatchNormApply { norm, activation, .. }
            | Operation::BatchNormSums { norm, activation, .. }
            | Operation::BatchNormBackward { norm, activation, .. } => {
                Some(Normed { norm, activation })
            }
            _ => None,
        }
    }
}

impl Output {
    /// Whether it is this value.
    pub(super) fn is(self, value: ValueId) -> bool {
        self == Output::Value(value)
    }
}

impl Normed {
    /// Whether convolutions fold it.
    pub(super) fn folds(self) -> bool {
        matches!(self.activation, None | Some(Activation::Relu))
    }
}

impl Folded {
    /// The inputs that outputs, by number, are added to.
    pub(super) fn sums(&self, inputs: &[ValueId]) -> impl Iterator<Item = (usize, ValueId)> {
        let (mut at, segments) = match self {
            Folded::Dgrad { through, segments, .. } => {
                (1 + usize::from(through.is_some()), &segments[..])
            }
            Folded::Fprop { .. } | Folded::Wgrad { .. } => (0, &[][..]),
        };
        let mut sums = Vec::new();
        for (number, segment) in segments.iter().enumerate() {
            if segment.adds {
                sums.push((number, inputs[at]));
            }
            at += usize::from(segment.adds) + usize::from(segment.producer.is_some());
        }
        sums.into_iter()
    }
}

impl Folding {
    /// Whether the input may be these numbers of channels.
    pub(super) fn takes(&self, mut channels: impl ExactSizeIterator<Item = usize>) -> bool {
        channels.len() <= self.device.segments
            && channels.all(|channels| channels.is_multiple_of(self.device.channels))
    }
}

impl Listing {
    /// Makes room for so many parts of a statistic.
    pub(super) fn grow(&mut self, value: Output, parts: usize) {
        let Output::Value(value) = value else { return };
        if let Extent::Block(elements) = &mut self.values[value.0].extent {
            *elements *= parts;
        }
    }

    /// Notes that a convolution leaves a statistic in parts.
    pub(super) fn part(&mut self, value: Output, filters: ParameterId) {
        for (_, reduction) in &mut self.reductions {
            if value.is(reduction.value) {
                reduction.parts_of = Some(filters);
            }
        }
    }

    /// Appends a step and returns the value that it computes.
    pub(super) fn push(
        &mut self,
        operation: Operation,
        inputs: &[ValueId],
        value: Value,
    ) -> ValueId {
        let id = ValueId(self.values.len());
        self.values.push(value);
        self.steps.push(Step {
            operation,
            inputs: inputs.to_vec(),
            outputs: vec![Output::Value(id)],
        });
        id
    }

    /// Appends a step that adds to a parameter's gradient.
    pub(super) fn push_gradient(
        &mut self,
        operation: Operation,
        inputs: &[ValueId],
        parameter: ParameterId,
    ) {
        let outputs = vec![Output::Gradient(parameter)];
        self.steps.push(Step { operation, inputs: inputs.to_vec(), outputs });
    }

    pub(super) fn value(&self, id: ValueId) -> Value {
        self.values[id.0]
    }

    /// For each of so many buffers of parameters, the filters of the convolution that computes their
    /// gradient and can leave it in pieces.
    pub(super) fn left_in_pieces(&self, parameters: usize) -> Vec<Option<ParameterId>> {
        let mut of = vec![None; parameters];
        for step in &self.steps {
            let filters = match step.operation {
                Operation::Conv2dWgrad { filters } => filters,
                Operation::Folded(index) => match self.folded[index] {
                    Folded::Wgrad { filters, .. } => filters,
                    Folded::Fprop { .. } | Folded::Dgrad { .. } => continue,
                },
                _ => continue,
            };
            for output in &step.outputs {
                if let Output::Gradient(parameter) = output {
                    of[parameter.0] = Some(filters);
                }
            }
        }
        of
    }

    /// The dtype of the images that a convolution with these filters is given.
    pub(super) fn convolution_dtype(&self, parameter: ParameterId) -> Option<DType> {
        self.steps.iter().find_map(|step| match step.operation {
            Operation::Conv2d { filters, .. } if filters == parameter => {
                Some(self.value(step.inputs[0]).dtype)
            }
            Operation::Folded(index) => match self.folded[index] {
                Folded::Fprop { filters, .. } if filters == parameter => {
                    Some(self.value(step.inputs[0]).dtype)
                }
                _ => None,
            },
            _ => None,
        })
    }
}
