//! The layer graph of a network: a directed acyclic graph as pure data.

mod builder;
mod cost;
mod draw;
mod export;
mod geometry;
mod hash;
mod op;
mod parameters;
mod sketch;
mod widen;

pub use builder::{GraphBuilder, GraphError};
pub use geometry::{Extent, Image, Padding, Sides, Window};
pub use hash::ArchitectureHash;
pub use op::{Activation, Conv2d, ConvolutionKind, Dense, Dropout, Op, Pool, PoolKind};
pub use parameters::{ParameterRole, ParameterSpec};

/// A network: nodes in topological order, from one input image to one output.
///
/// [`GraphBuilder`] makes it, so that every node's inputs stand before it, shapes agree, names are
/// unique, and the output depends on every node.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    nodes: Vec<Node>,
}

/// One operation of a [`Graph`].
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique within the graph.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// What it computes it from, in order.
    pub inputs: Vec<NodeId>,
    /// The shape of its result, for one image.
    pub shape: Image,
}

/// A node's place in its graph, or in its builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

impl Graph {
    /// All nodes, each after its inputs. The first is the input, the last is the output.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The ids of [`Graph::nodes`], in the same order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The shape of the input image.
    pub fn input_shape(&self) -> Image {
        self.nodes[0].shape
    }

    /// The node whose result is the network's.
    pub fn output(&self) -> NodeId {
        NodeId(self.nodes.len() - 1)
    }

    /// The shapes of a node's inputs, in order.
    pub fn input_shapes(&self, id: NodeId) -> Vec<Image> {
        self.node(id).inputs.iter().map(|&input| self.node(input).shape).collect()
    }
}

impl NodeId {
    /// The index in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0
    }
}
