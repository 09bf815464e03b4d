//! Building a graph node by node, with shape inference.

use std::collections::HashSet;

use super::geometry::Sides;
use super::op::{Conv2d, ConvolutionKind, Dense, Dropout, Pool};
use super::{Extent, Graph, Image, Node, NodeId, Op, Padding};

/// The largest extent, number of channels, or option of an operation.
const LIMIT: usize = 1 << 20;

/// Builds a [`Graph`] node by node; a node can only read nodes that are there already.
#[derive(Clone, Debug)]
pub struct GraphBuilder {
    nodes: Vec<Node>,
    names: HashSet<String>,
}

/// Why a node does not fit its graph. Every variant names the node.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GraphError {
    /// A window that fits nowhere on its input.
    #[error(
        "{node}: {op} fits nowhere on its input of {input}; use a smaller window, smaller strides \
         or 'same' padding"
    )]
    Vanishes {
        /// The node.
        node: String,
        /// Its operation.
        op: Box<Op>,
        /// The shape it is given.
        input: Image,
    },
    /// Inputs that do not go together.
    #[error("{node}: {op} of {first} and {other}, which do not go together")]
    ShapeMismatch {
        /// The node.
        node: String,
        /// Its operation.
        op: Box<Op>,
        /// The shape of its first input.
        first: Image,
        /// The shape of the input that differs.
        other: Image,
    },
    /// Too few inputs, or too many.
    #[error("{node}: {op} of {found} inputs; it takes {}", input_rule(.op))]
    InputCount {
        /// The node.
        node: String,
        /// Its operation.
        op: Box<Op>,
        /// How many inputs it was given.
        found: usize,
    },
    /// An input that is not in the builder.
    #[error("{node}: input {} does not exist", .input.index())]
    UnknownInput {
        /// The node.
        node: String,
        /// The input.
        input: NodeId,
    },
    /// A name that another node has.
    #[error("{node}: another node has this name")]
    DuplicateName {
        /// The name.
        node: String,
    },
    /// A number that is zero or beyond all use.
    #[error("{node}: {what} is {found}, expected 1 to {LIMIT}")]
    Range {
        /// The node.
        node: String,
        /// Which of its numbers.
        what: &'static str,
        /// The number.
        found: usize,
    },
    /// Padding of a pooling that leaves a window entirely outside the image.
    #[error("{node}: {op}: on each side the padding must be smaller than the window")]
    PaddedPool {
        /// The node.
        node: String,
        /// Its operation.
        op: Box<Op>,
    },
    /// A dropout rate that is no probability below one.
    #[error("{node}: dropout rate {rate}, expected at least 0 and less than 1")]
    DropoutRate {
        /// The node.
        node: String,
        /// The rate.
        rate: f64,
    },
}

impl GraphBuilder {
    /// A graph of nothing but the input, a node called `input`.
    ///
    /// # Errors
    /// [`GraphError::Range`] if the image is empty.
    pub fn new(input: Image) -> Result<GraphBuilder, GraphError> {
        let name = "input".to_owned();
        check_image(&name, input)?;
        let names = HashSet::from([name.clone()]);
        let node = Node { name, op: Op::Input, inputs: Vec::new(), shape: input };
        Ok(GraphBuilder { nodes: vec![node], names })
    }

    /// The input node.
    pub fn input(&self) -> NodeId {
        NodeId(0)
    }

    /// The shape of a node's result.
    pub fn shape(&self, id: NodeId) -> Image {
        self.nodes[id.0].shape
    }

    /// Adds a node that applies `op` to `inputs`.
    ///
    /// # Errors
    /// Any [`GraphError`]; the builder is then as it was.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: &[NodeId],
    ) -> Result<NodeId, GraphError> {
        let name = name.into();
        if self.names.contains(&name) {
            return Err(GraphError::DuplicateName { node: name });
        }
        if let Some(&input) = inputs.iter().find(|input| input.0 >= self.nodes.len()) {
            return Err(GraphError::UnknownInput { node: name, input });
        }
        let shapes: Vec<_> = inputs.iter().map(|&input| self.shape(input)).collect();
        check_options(&name, op)?;
        let shape = infer(&name, op, &shapes)?;
        check_image(&name, shape)?;
        self.names.insert(name.clone());
        self.nodes.push(Node { name, op, inputs: inputs.to_vec(), shape });
        Ok(NodeId(self.nodes.len() - 1))
    }

    /// The graph whose result is that of `output`. Nodes that it does not depend on are left out;
    /// the others keep their order and are numbered anew.
    pub fn finish(self, output: NodeId) -> Graph {
        let mut needed = vec![false; self.nodes.len()];
        needed[output.0] = true;
        for id in (0..=output.0).rev() {
            if needed[id] {
                self.nodes[id].inputs.iter().for_each(|input| needed[input.0] = true);
            }
        }
        let mut renumbered = vec![NodeId(0); self.nodes.len()];
        let mut nodes = Vec::new();
        for (id, mut node) in self.nodes.into_iter().enumerate().filter(|&(id, _)| needed[id]) {
            renumbered[id] = NodeId(nodes.len());
            node.inputs.iter_mut().for_each(|input| *input = renumbered[input.0]);
            nodes.push(node);
        }
        Graph { nodes }
    }
}

/// The shape of the result of `op` on inputs of `shapes`.
fn infer(node: &str, op: Op, shapes: &[Image]) -> Result<Image, GraphError> {
    let wrong_count =
        || GraphError::InputCount { node: node.to_owned(), op: Box::new(op), found: shapes.len() };
    let &first = shapes.first().ok_or_else(wrong_count)?;
    let several = matches!(op, Op::Add | Op::Concat);
    if matches!(op, Op::Input) || (shapes.len() > 1 && !several) {
        return Err(wrong_count());
    }
    let windowed = || {
        let vanishes =
            || GraphError::Vanishes { node: node.to_owned(), op: Box::new(op), input: first };
        op.window().and_then(|window| window.output(first.extent())).ok_or_else(vanishes)
    };
    let agree = |same: fn(Image, Image) -> bool| {
        shapes.iter().find(|&&other| !same(first, other)).map_or(Ok(()), |&other| {
            Err(GraphError::ShapeMismatch { node: node.to_owned(), op: Box::new(op), first, other })
        })
    };
    Ok(match op {
        Op::Input | Op::BatchNorm | Op::Activation(_) | Op::Dropout(_) => first,
        Op::Conv2d(Conv2d { kind: ConvolutionKind::Full { filters }, .. }) => {
            windowed()?.image(filters)
        }
        Op::Conv2d(Conv2d { kind: ConvolutionKind::Depthwise, .. }) | Op::Pool(_) => {
            windowed()?.image(first.channels)
        }
        Op::GlobalAveragePool => Extent::square(1).image(first.channels),
        Op::Dense(Dense { units }) => Extent::square(1).image(units),
        Op::Add => {
            agree(|a, b| a == b)?;
            first
        }
        Op::Concat => {
            agree(|a, b| a.extent() == b.extent())?;
            first.extent().image(shapes.iter().map(|shape| shape.channels).sum())
        }
        Op::ZeroPad(sides) => sides.around(first.extent()).image(first.channels),
    })
}

/// Whether the options of `op` make sense, whatever its inputs.
fn check_options(node: &str, op: Op) -> Result<(), GraphError> {
    match op {
        Op::Conv2d(Conv2d { kind: ConvolutionKind::Full { filters }, .. }) => {
            check_range(node, "number of filters", filters)?;
        }
        Op::Dense(Dense { units }) => check_range(node, "number of units", units)?,
        Op::Dropout(Dropout { rate }) if !(0.0..1.0).contains(&rate) => {
            return Err(GraphError::DropoutRate { node: node.to_owned(), rate });
        }
        Op::ZeroPad(sides) => check_padding(node, sides)?,
        Op::Pool(Pool { size, padding: Padding::Explicit(sides), .. }) => {
            let Sides { top, bottom, left, right } = sides;
            if top.max(bottom) >= size.height || left.max(right) >= size.width {
                return Err(GraphError::PaddedPool { node: node.to_owned(), op: Box::new(op) });
            }
        }
        _ => {}
    }
    let Some(window) = op.window() else { return Ok(()) };
    for (what, Extent { height, width }) in
        [("window size", window.size), ("stride", window.stride), ("dilation", window.dilation)]
    {
        check_range(node, what, height)?;
        check_range(node, what, width)?;
    }
    match window.padding {
        Padding::Explicit(sides) => check_padding(node, sides),
        Padding::Same | Padding::Valid => Ok(()),
    }
}

fn check_image(node: &str, image: Image) -> Result<(), GraphError> {
    check_range(node, "height", image.height)?;
    check_range(node, "width", image.width)?;
    check_range(node, "number of channels", image.channels)
}

fn check_padding(node: &str, sides: Sides) -> Result<(), GraphError> {
    let Sides { top, bottom, left, right } = sides;
    check_range(node, "padding", top.max(bottom).max(left).max(right).max(1))
}

fn check_range(node: &str, what: &'static str, found: usize) -> Result<(), GraphError> {
    if (1..=LIMIT).contains(&found) {
        Ok(())
    } else {
        Err(GraphError::Range { node: node.to_owned(), what, found })
    }
}

fn input_rule(op: &Op) -> &'static str {
    match op {
        Op::Input => "none, and only the builder adds it",
        Op::Add | Op::Concat => "one or more",
        _ => "one",
    }
}
