//! Which parameters a graph has: names, shapes, roles.

use serde::Serialize;

use super::op::{Conv2d, ConvolutionKind, Dense};
use super::{Graph, NodeId, Op};

/// One parameter of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParameterSpec {
    /// `<node>.<suffix>`, with the suffix of its role, as `layer1.conv.weight`.
    pub name: String,
    /// Outermost dimension first; the layout belongs to the role.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: ParameterRole,
}

/// What a parameter is for, and how it lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterRole {
    /// `weight` of a full convolution, KRSC: `[filters, kernel_height, kernel_width, channels]`.
    Filters,
    /// `weight` of a depthwise convolution: `[channels, kernel_height, kernel_width]`.
    DepthwiseFilters,
    /// `weight` of a dense layer: `[in, out]`.
    DenseWeight,
    /// `bias` of a convolution or dense layer: `[out]`.
    Bias,
    /// `gamma` of batch normalisation: `[channels]`.
    Gamma,
    /// `beta` of batch normalisation: `[channels]`.
    Beta,
    /// `running_mean` of batch normalisation, measured and not trained: `[channels]`.
    RunningMean,
    /// `running_variance` of batch normalisation, measured and not trained: `[channels]`.
    RunningVariance,
}

impl Graph {
    /// All parameters, node by node in topological order; within a node weight, bias, or gamma,
    /// beta, running mean, running variance.
    pub fn parameter_specs(&self) -> Vec<ParameterSpec> {
        self.ids().flat_map(|id| self.node_parameter_specs(id)).collect()
    }

    /// The parameters of one node, in the order of [`Graph::parameter_specs`].
    pub fn node_parameter_specs(&self, id: NodeId) -> Vec<ParameterSpec> {
        use ParameterRole::*;
        let node = self.node(id);
        let channels = node.shape.channels;
        let inputs = self.input_shapes(id);
        let parameters = match node.op {
            Op::Conv2d(Conv2d { kind, kernel, bias, .. }) => {
                let weight = match kind {
                    ConvolutionKind::Full { filters } => {
                        (Filters, vec![filters, kernel.height, kernel.width, inputs[0].channels])
                    }
                    ConvolutionKind::Depthwise => {
                        (DepthwiseFilters, vec![channels, kernel.height, kernel.width])
                    }
                };
                let bias = bias.then(|| (Bias, vec![channels]));
                [weight].into_iter().chain(bias).collect()
            }
            Op::Dense(Dense { units }) => {
                vec![(DenseWeight, vec![inputs[0].elements(), units]), (Bias, vec![units])]
            }
            Op::BatchNorm => [Gamma, Beta, RunningMean, RunningVariance]
                .map(|role| (role, vec![channels]))
                .into(),
            _ => Vec::new(),
        };
        parameters
            .into_iter()
            .map(|(role, shape)| ParameterSpec {
                name: format!("{}.{}", node.name, role.suffix()),
                shape,
                role,
            })
            .collect()
    }
}

impl ParameterSpec {
    /// The product of the shape, saturating.
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |product: u64, &extent| product.saturating_mul(extent as u64))
    }
}

impl ParameterRole {
    /// The last part of a parameter's name.
    pub fn suffix(self) -> &'static str {
        match self {
            ParameterRole::Filters
            | ParameterRole::DepthwiseFilters
            | ParameterRole::DenseWeight => "weight",
            ParameterRole::Bias => "bias",
            ParameterRole::Gamma => "gamma",
            ParameterRole::Beta => "beta",
            ParameterRole::RunningMean => "running_mean",
            ParameterRole::RunningVariance => "running_variance",
        }
    }

    /// Whether gradients change it; running statistics follow the data instead.
    pub fn is_trainable(self) -> bool {
        !matches!(self, ParameterRole::RunningMean | ParameterRole::RunningVariance)
    }
}
