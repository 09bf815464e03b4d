//! A graph as JSON, for other programs.

use serde::Serialize;

use super::{Graph, Image, Op, ParameterSpec, Sides};

#[derive(Serialize)]
struct GraphExport<'a> {
    format: u32,
    hash: String,
    parameters: u64,
    flops: u64,
    nodes: Vec<NodeExport<'a>>,
}

#[derive(Serialize)]
struct NodeExport<'a> {
    name: &'a str,
    #[serde(flatten)]
    op: Op,
    #[serde(skip_serializing_if = "Option::is_none")]
    sides: Option<Sides>,
    inputs: Vec<&'a str>,
    shape: Image,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<ParameterSpec>,
}

impl Graph {
    /// The graph as JSON, complete enough to build its twin elsewhere:
    ///
    /// - `format` (1), `hash`, `parameters` (how many are trainable), `flops`;
    /// - `nodes` in topological order, the last being the output, each with `name`, `op`,
    ///   `options` where the operation has any, `sides` (the padding as numbers, of convolutions
    ///   and poolings), `inputs` (names), `shape`, and `parameters` (name, shape, role) if any.
    pub fn to_json(&self) -> String {
        let nodes = self.ids().map(|id| {
            let node = self.node(id);
            NodeExport {
                name: &node.name,
                op: node.op,
                sides: node.op.window().map(|w| w.sides(self.input_shapes(id)[0].extent())),
                inputs: node.inputs.iter().map(|&input| self.node(input).name.as_str()).collect(),
                shape: node.shape,
                parameters: self.node_parameter_specs(id),
            }
        });
        let export = GraphExport {
            format: 1,
            hash: self.hash().to_string(),
            parameters: self.parameters(),
            flops: self.flops(),
            nodes: nodes.collect(),
        };
        serde_json::to_string_pretty(&export).expect("string keys and finite numbers only")
    }
}
