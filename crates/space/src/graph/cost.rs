//! What a network costs: parameters and floating-point operations.

use super::op::{Conv2d, ConvolutionKind};
use super::{Graph, NodeId, Op};

impl Graph {
    /// Number of trainable parameters (running statistics do not count), saturating.
    pub fn parameters(&self) -> u64 {
        self.ids().fold(0, |sum, id| sum.saturating_add(self.node_parameters(id)))
    }

    /// Number of trainable parameters of one node, saturating.
    pub fn node_parameters(&self, id: NodeId) -> u64 {
        self.node_parameter_specs(id)
            .iter()
            .filter(|spec| spec.role.is_trainable())
            .fold(0, |sum, spec| sum.saturating_add(spec.elements()))
    }

    /// Floating-point operations of the forward pass of one image, saturating: two a multiply-add
    /// of convolutions and dense layers, taps in the padding included. Everything else counts as
    /// zero (bias, normalisation, activation, pooling, addition): it costs memory traffic, not
    /// arithmetic, and a fused implementation does it in passing.
    pub fn flops(&self) -> u64 {
        self.ids().fold(0, |sum, id| sum.saturating_add(self.node_flops(id)))
    }

    /// The share of one node in [`Graph::flops`].
    pub fn node_flops(&self, id: NodeId) -> u64 {
        let node = self.node(id);
        let reads = match node.op {
            Op::Conv2d(Conv2d { kind: ConvolutionKind::Full { .. }, kernel, .. }) => {
                kernel.image(self.input_shapes(id)[0].channels).elements()
            }
            Op::Conv2d(Conv2d { kind: ConvolutionKind::Depthwise, kernel, .. }) => {
                kernel.image(1).elements()
            }
            Op::Dense(_) => self.input_shapes(id)[0].elements(),
            _ => 0,
        };
        (node.shape.elements() as u64).saturating_mul(reads as u64).saturating_mul(2)
    }
}
