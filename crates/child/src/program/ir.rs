//! What a program is made of: values, the steps that compute them, and reductions between steps.

use nasrl_space::Image;
use nasrl_tensor::DType;
use nasrl_tensor::ops::{Activation, Pad2d, Pool2d};

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
    pub(super) output: Output,
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
    /// logits, labels; the result is the logits' gradient, and loss and correct answers are added
    /// to those of the group
    Loss,
}

/// What happens once a value was computed for all blocks of the batch: it is combined to a
/// statistic of a batch normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reduction {
    pub(super) statistic: Statistic,
    pub(super) norm: NormId,
    pub(super) value: ValueId,
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
}

impl Listing {
    /// Appends a step and returns the value that it computes.
    pub(super) fn push(
        &mut self,
        operation: Operation,
        inputs: &[ValueId],
        value: Value,
    ) -> ValueId {
        let id = ValueId(self.values.len());
        self.values.push(value);
        self.steps.push(Step { operation, inputs: inputs.to_vec(), output: Output::Value(id) });
        id
    }

    /// Appends a step that adds to a parameter's gradient.
    pub(super) fn push_gradient(
        &mut self,
        operation: Operation,
        inputs: &[ValueId],
        parameter: ParameterId,
    ) {
        let output = Output::Gradient(parameter);
        self.steps.push(Step { operation, inputs: inputs.to_vec(), output });
    }

    pub(super) fn value(&self, id: ValueId) -> Value {
        self.values[id.0]
    }

    /// The dtype of the images that a convolution with these filters is given.
    pub(super) fn convolution_dtype(&self, parameter: ParameterId) -> Option<DType> {
        self.steps.iter().find_map(|step| match step.operation {
            Operation::Conv2d { filters, .. } if filters == parameter => {
                Some(self.value(step.inputs[0]).dtype)
            }
            _ => None,
        })
    }
}
