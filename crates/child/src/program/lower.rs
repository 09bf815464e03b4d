//! From a layer graph to the steps of its forward pass.
//!
//! Every node becomes a step or a few. [`Lowering::Fused`] lets a convolution or a batch
//! normalisation absorb the activation that follows it, and does not keep for later stages what is
//! cheap to compute again; nothing else differs between the two.

use nasrl_space::{Dropout, Graph, Image, NodeId, Op, Pool, PoolKind, Sides};
use nasrl_tensor::DType;
use nasrl_tensor::ops::{Activation, Pad2d, Pool2d, Pooling};

use super::fold::Foldings;
use super::ir::{Extent, Listing, Mode, Operation, Reduction, Statistic, Value, ValueId};
use super::parameters::{Held, NormId, ParameterId, Parameters, padding, sides};

/// How a layer graph becomes steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lowering {
    /// One step for each operation of the graph: what the others are tested against.
    Plain,
    /// Bias and relu in the convolution's own pass, an activation after batch normalisation in
    /// that pass, and the gradient of a relu in the pass that computes what it masks. Later stages
    /// compute concatenations, zeros and normalised activations again, unless the device's
    /// convolutions read and write through normalisations and concatenations.
    Fused,
}

/// A graph on its way to a [`Listing`].
pub(super) struct Lowerer<'a> {
    pub(super) graph: &'a Graph,
    pub(super) parameters: &'a Parameters,
    pub(super) lowering: Lowering,
    pub(super) mode: Mode,
    /// The dtype of activations.
    pub(super) dtype: DType,
    pub(super) listing: Listing,
    /// The value of each node so far.
    pub(super) results: Vec<ValueId>,
    /// How many inputs of other nodes each node is.
    pub(super) uses: Vec<usize>,
}

impl<'a> Lowerer<'a> {
    pub(super) fn new(
        graph: &'a Graph,
        parameters: &'a Parameters,
        lowering: Lowering,
        mode: Mode,
        dtype: DType,
    ) -> Self {
        let mut uses = vec![0; graph.nodes().len()];
        for input in graph.nodes().iter().flat_map(|node| &node.inputs) {
            uses[input.index()] += 1;
        }
        let (listing, results) = (Listing::default(), Vec::new());
        Lowerer { graph, parameters, lowering, mode, dtype, listing, results, uses }
    }

    /// The steps, to the loss and in training back again; `foldings` says what of it the device
    /// folds into its convolutions.
    pub(super) fn run(mut self, foldings: &Foldings) -> Listing {
        for id in self.graph.ids() {
            let value = self.forward(id);
            self.results.push(value);
        }
        let logits = self.cast(self.results[self.graph.output().index()], DType::F32);
        let labels = self.listing.push(Operation::Labels, &[], one_each());
        let like_logits = self.listing.value(logits);
        let dlogits = self.listing.push(Operation::Loss, &[logits, labels], like_logits);
        if self.mode == Mode::Training {
            self.backward(dlogits);
        }
        match self.lowering {
            Lowering::Plain => self.listing,
            Lowering::Fused => self.listing.folded(foldings).rematerialised(),
        }
    }

    /// The node whose pass an activation is part of, if it is.
    pub(super) fn absorbed_by(&self, id: NodeId) -> Option<NodeId> {
        let node = self.graph.node(id);
        let Op::Activation(f) = node.op else { return None };
        let producer = node.inputs[0];
        let absorbs = match self.graph.node(producer).op {
            Op::Conv2d(_) => f == nasrl_space::Activation::Relu,
            Op::BatchNorm => true,
            _ => false,
        };
        let fused = self.lowering == Lowering::Fused;
        (fused && absorbs && self.uses[producer.index()] == 1).then_some(producer)
    }

    /// The activation that is part of a node's pass.
    pub(super) fn absorbed(&self, id: NodeId) -> Option<Activation> {
        let follows = |next: &NodeId| self.absorbed_by(*next) == Some(id);
        let next = self.graph.ids().find(follows)?;
        match self.graph.node(next).op {
            Op::Activation(f) => Some(activation(f)),
            _ => None,
        }
    }

    /// A value converted to a dtype, if it has another one.
    pub(super) fn cast(&mut self, x: ValueId, dtype: DType) -> ValueId {
        let value = self.listing.value(x);
        if value.dtype == dtype {
            return x;
        }
        self.listing.push(Operation::Cast, &[x], Value { dtype, ..value })
    }

    fn forward(&mut self, id: NodeId) -> ValueId {
        let graph = self.graph;
        let node = graph.node(id);
        let inputs: Vec<ValueId> =
            node.inputs.iter().map(|input| self.results[input.index()]).collect();
        let Some(&x) = inputs.first() else { return self.images() };
        let y = Value {
            extent: Extent::Image(node.shape.elements()),
            dtype: self.listing.value(x).dtype,
        };
        match self.parameters.held(id) {
            Held::Conv2d { filters, bias } => match self.lowering {
                Lowering::Fused => {
                    let relu = self.absorbed(id).is_some();
                    self.listing.push(Operation::Conv2d { filters, bias, relu }, &[x], y)
                }
                Lowering::Plain => {
                    let operation = Operation::Conv2d { filters, bias: None, relu: false };
                    let sums = self.listing.push(operation, &[x], y);
                    bias.map_or(sums, |bias| self.bias(bias, sums, y))
                }
            },
            Held::Dense { weight, bias } => {
                let y = Value { dtype: DType::F32, ..y };
                let x = self.cast(x, DType::F32);
                let extents = self.dense_extents(id);
                let sums = self.listing.push(Operation::Dense { weight, extents }, &[x], y);
                self.bias(bias, sums, y)
            }
            Held::BatchNorm(norm) => {
                let channels = node.shape.channels;
                if self.mode == Mode::Training {
                    let statistics = per_channel(3, channels);
                    let operation = Operation::BatchNormMoments { channels };
                    let moments = self.listing.push(operation, &[x], statistics);
                    self.reduce(Statistic::Normalizer, norm, moments);
                }
                let activation = self.absorbed(id);
                let operation = Operation::BatchNormApply { norm, channels, activation };
                self.listing.push(operation, &[x], y)
            }
            Held::Nothing => self.without_parameters(id, &inputs, y),
        }
    }

    fn images(&mut self) -> ValueId {
        let (image, mode) = (self.graph.input_shape(), self.mode);
        let extent = Extent::Image(image.elements());
        let bytes = Value { extent, dtype: DType::U8 };
        let bytes = self.listing.push(Operation::Images, &[], bytes);
        let indices = self.listing.push(Operation::Indices, &[], one_each());
        let images = Value { extent, dtype: self.dtype };
        self.listing.push(Operation::Augment { image, mode }, &[bytes, indices], images)
    }

    fn bias(&mut self, bias: ParameterId, x: ValueId, y: Value) -> ValueId {
        let channels = self.parameters.trained[bias.0].len;
        self.listing.push(Operation::Bias { bias, channels }, &[x], y)
    }

    fn without_parameters(&mut self, id: NodeId, inputs: &[ValueId], y: Value) -> ValueId {
        let (x, image) = (inputs[0], self.graph.input_shapes(id)[0]);
        let absorbed = self.absorbed_by(id).is_some();
        let mut push = |operation| self.listing.push(operation, &[x], y);
        match self.graph.node(id).op {
            Op::Activation(_) if absorbed => x,
            Op::Activation(f) => push(Operation::Activation(activation(f))),
            Op::Pool(options) => push(Operation::Pool2d(pool(options, image))),
            Op::GlobalAveragePool => {
                let (pixels, channels) = (image.height * image.width, image.channels);
                let operation = Operation::GlobalAveragePool { pixels, channels };
                self.listing.push(operation, &[x], Value { dtype: DType::F32, ..y })
            }
            Op::Dropout(Dropout { rate }) if self.mode == Mode::Training && rate > 0.0 => {
                push(Operation::Dropout { stream: id.index(), rate: rate as f32 })
            }
            Op::ZeroPad(zeros) => push(Operation::Pad2d(pad(zeros, image))),
            Op::Add => {
                let (inputs, dtype) = self.alike(inputs);
                inputs[1..].iter().fold(inputs[0], |sum, &input| {
                    self.listing.push(Operation::Add, &[sum, input], Value { dtype, ..y })
                })
            }
            Op::Concat if inputs.len() > 1 => {
                let (inputs, dtype) = self.alike(inputs);
                let operation = Operation::Concat { pixels: image.height * image.width };
                self.listing.push(operation, &inputs, Value { dtype, ..y })
            }
            _ => x,
        }
    }

    /// How many inputs and outputs a dense node has.
    pub(super) fn dense_extents(&self, id: NodeId) -> [usize; 2] {
        [self.graph.input_shapes(id)[0].elements(), self.graph.node(id).shape.elements()]
    }

    /// Values of one dtype: f32 if one of them is, since the others can become that exactly.
    fn alike(&mut self, values: &[ValueId]) -> (Vec<ValueId>, DType) {
        let is_f32 = |value: &ValueId| self.listing.value(*value).dtype == DType::F32;
        let dtype = if values.iter().any(is_f32) { DType::F32 } else { self.dtype };
        (values.iter().map(|&value| self.cast(value, dtype)).collect(), dtype)
    }

    /// Ends a stage.
    pub(super) fn reduce(&mut self, statistic: Statistic, norm: NormId, value: ValueId) {
        let reduction = Reduction { statistic, norm, value, parts_of: None };
        self.listing.reductions.push((self.listing.steps.len(), reduction));
    }
}

/// The tensor crate's form of an activation.
pub(super) fn activation(f: nasrl_space::Activation) -> Activation {
    match f {
        nasrl_space::Activation::Relu => Activation::Relu,
        nasrl_space::Activation::Tanh => Activation::Tanh,
        nasrl_space::Activation::Sigmoid => Activation::Sigmoid,
    }
}

/// A number for each image.
fn one_each() -> Value {
    Value { extent: Extent::Image(1), dtype: DType::U32 }
}

/// So many f32 values a channel for a block of images.
pub(super) fn per_channel(values: usize, channels: usize) -> Value {
    Value { extent: Extent::Block(values * channels), dtype: DType::F32 }
}

/// The geometry of a pooling of an image.
pub(super) fn pool(options: Pool, image: Image) -> Pool2d {
    Pool2d {
        pooling: match options.kind {
            PoolKind::Max => Pooling::Max,
            PoolKind::Average => Pooling::Average,
        },
        input: [image.height, image.width],
        channels: image.channels,
        window: [options.size.height, options.size.width],
        stride: [options.stride.height, options.stride.width],
        padding: padding(Op::Pool(options), image),
    }
}

/// The geometry of zeros around an image.
pub(super) fn pad(zeros: Sides, image: Image) -> Pad2d {
    let input = [image.height, image.width];
    Pad2d { input, channels: image.channels, padding: sides(zeros) }
}
