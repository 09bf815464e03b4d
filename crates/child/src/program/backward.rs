//! From the loss back to the steps that compute all gradients.

use nasrl_space::{Activation, Dropout, NodeId, Op};
use nasrl_tensor::DType;

use super::ir::{Extent, Operation, Statistic, Value, ValueId};
use super::lower::{Lowerer, Lowering, activation, pad, per_channel, pool};
use super::parameters::Held;

/// The gradients of the nodes' results, as far as they are known.
struct Gradients {
    sums: Vec<Option<ValueId>>,
    /// Whether the derivative of the node, a relu, is in its gradient already.
    masked: Vec<bool>,
    /// Whether the node depends on a parameter, so that its gradient is of use.
    wanted: Vec<bool>,
}

impl Lowerer<'_> {
    /// Appends the backward pass, from the gradient of the logits on.
    pub(super) fn backward(&mut self, dlogits: ValueId) {
        let mut gradients = self.no_gradients();
        self.contribute(&mut gradients, self.graph.output(), dlogits);
        let ids: Vec<NodeId> = self.graph.ids().collect();
        for id in ids.into_iter().rev() {
            if let Some(dy) = gradients.sums[id.index()] {
                self.node_backward(&mut gradients, id, dy);
            }
        }
    }

    fn no_gradients(&self) -> Gradients {
        let nodes = self.graph.nodes();
        let mut wanted = vec![false; nodes.len()];
        for id in self.graph.ids() {
            let has_parameters = !matches!(self.parameters.held(id), Held::Nothing);
            let inputs = &self.graph.node(id).inputs;
            wanted[id.index()] = has_parameters || inputs.iter().any(|input| wanted[input.index()]);
        }
        Gradients { sums: vec![None; nodes.len()], masked: vec![false; nodes.len()], wanted }
    }

    /// Adds to the gradient of a node's result.
    fn contribute(&mut self, gradients: &mut Gradients, id: NodeId, gradient: ValueId) {
        let dtype = self.listing.value(self.results[id.index()]).dtype;
        let gradient = self.cast(gradient, dtype);
        let sum = match gradients.sums[id.index()] {
            None => gradient,
            Some(sum) => {
                let value = self.listing.value(sum);
                self.listing.push(Operation::Add, &[sum, gradient], value)
            }
        };
        gradients.sums[id.index()] = Some(sum);
    }

    /// The output of the relu whose derivative the one consumer of its result can take in its own
    /// pass.
    fn mask(&self, id: NodeId) -> Option<ValueId> {
        let relu = matches!(self.graph.node(id).op, Op::Activation(Activation::Relu));
        let absorbed_by = self.absorbed_by(id).map(|producer| self.parameters.held(producer));
        // A batch normalisation recomputes the derivative of what it absorbed.
        let recomputed = matches!(absorbed_by, Some(Held::BatchNorm(_)));
        let fused = self.lowering == Lowering::Fused;
        (fused && relu && !recomputed && self.uses[id.index()] == 1)
            .then(|| self.results[id.index()])
    }

    /// Contributes what a step computes from `dy` to the gradient of a node's input, with the
    /// derivative of the relu that the input may be.
    fn contribute_masked(
        &mut self,
        gradients: &mut Gradients,
        input: NodeId,
        operation: Operation,
        dy: ValueId,
    ) {
        let mask = self.mask(input);
        gradients.masked[input.index()] = mask.is_some();
        let inputs: Vec<ValueId> = [dy].into_iter().chain(mask).collect();
        let dx = self.listing.value(self.results[input.index()]);
        let dx = self.listing.push(operation, &inputs, dx);
        self.contribute(gradients, input, dx);
    }

    /// The gradients of a node's parameters and inputs.
    fn node_backward(&mut self, gradients: &mut Gradients, id: NodeId, dy: ValueId) {
        let node = self.graph.node(id);
        let Some(&input) = node.inputs.first() else { return };
        let x = self.results[input.index()];
        let wanted = gradients.wanted[input.index()];
        match self.parameters.held(id) {
            Held::Conv2d { filters, bias } => {
                if let Some(bias) = bias {
                    let channels = node.shape.channels;
                    self.listing.push_gradient(Operation::BiasBackward { channels }, &[dy], bias);
                }
                let operation = Operation::Conv2dWgrad { filters };
                self.listing.push_gradient(operation, &[x, dy], filters);
                if wanted {
                    let operation = Operation::Conv2dDgrad { filters };
                    self.contribute_masked(gradients, input, operation, dy);
                }
            }
            Held::Dense { weight, bias } => {
                let extents = self.dense_extents(id);
                let operation = Operation::BiasBackward { channels: extents[1] };
                self.listing.push_gradient(operation, &[dy], bias);
                let x = self.cast(x, DType::F32);
                self.listing.push_gradient(Operation::DenseWgrad { extents }, &[x, dy], weight);
                if wanted {
                    let dx = Value { extent: Extent::Image(extents[0]), dtype: DType::F32 };
                    let operation = Operation::DenseDgrad { weight, extents };
                    let dx = self.listing.push(operation, &[dy], dx);
                    self.contribute(gradients, input, dx);
                }
            }
            Held::BatchNorm(norm) => {
                let (channels, activation) = (node.shape.channels, self.absorbed(id));
                let operation = Operation::BatchNormSums { norm, channels, activation };
                let sums = self.listing.push(operation, &[x, dy], per_channel(2, channels));
                self.reduce(Statistic::Coefficients, norm, sums);
                if wanted {
                    let operation = Operation::BatchNormBackward { norm, channels, activation };
                    let dx = self.listing.push(operation, &[x, dy], self.listing.value(x));
                    self.contribute(gradients, input, dx);
                }
            }
            Held::Nothing if gradients.wanted[id.index()] => {
                self.inputs_backward(gradients, id, dy);
            }
            Held::Nothing => {}
        }
    }

    /// The gradients of the inputs of a node that has no parameters.
    fn inputs_backward(&mut self, gradients: &mut Gradients, id: NodeId, dy: ValueId) {
        let node = self.graph.node(id);
        let (input, image) = (node.inputs[0], self.graph.input_shapes(id)[0]);
        let x = self.results[input.index()];
        let y = self.results[id.index()];
        let like_x = self.listing.value(x);
        let absorbed_by = self.absorbed_by(id).map(|producer| self.parameters.held(producer));
        let mut push = |operation, inputs: &[ValueId]| self.listing.push(operation, inputs, like_x);
        let dx = match node.op {
            Op::Activation(_) if gradients.masked[id.index()] => dy,
            Op::Activation(_) if matches!(absorbed_by, Some(Held::BatchNorm(_))) => dy,
            Op::Activation(f) => push(Operation::ActivationBackward(activation(f)), &[y, dy]),
            Op::Pool(options) => push(Operation::Pool2dBackward(pool(options, image)), &[x, dy]),
            Op::GlobalAveragePool => {
                let (pixels, channels) = (image.height * image.width, image.channels);
                let operation = Operation::GlobalAveragePoolBackward { pixels, channels };
                return self.contribute_masked(gradients, input, operation, dy);
            }
            Op::Dropout(Dropout { rate }) if rate > 0.0 => {
                push(Operation::Dropout { stream: id.index(), rate: rate as f32 }, &[dy])
            }
            Op::ZeroPad(zeros) => push(Operation::Pad2dBackward(pad(zeros, image)), &[dy]),
            Op::Add | Op::Concat => return self.join_backward(gradients, id, dy),
            _ => dy,
        };
        self.contribute(gradients, input, dx);
    }

    /// The gradients of the inputs of a sum, all `dy`, or of a concatenation, slices of it.
    fn join_backward(&mut self, gradients: &mut Gradients, id: NodeId, dy: ValueId) {
        let node = self.graph.node(id);
        let dtype = self.listing.value(dy).dtype;
        let pixels = node.shape.height * node.shape.width;
        let mut first = 0;
        for &input in &node.inputs {
            let image = self.graph.node(input).shape;
            if gradients.wanted[input.index()] {
                let dx = if matches!(node.op, Op::Concat) && node.inputs.len() > 1 {
                    let value = Value { extent: Extent::Image(image.elements()), dtype };
                    let channels = image.channels;
                    self.listing.push(Operation::Slice { pixels, first, channels }, &[dy], value)
                } else {
                    dy
                };
                self.contribute(gradients, input, dx);
            }
            first += image.channels;
        }
    }
}
