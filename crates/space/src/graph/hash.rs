//! The identity of an architecture, whatever its nodes are called and however it is written down.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use blake3::Hasher;

use super::geometry::{Extent, Image};
use super::op::{Conv2d, ConvolutionKind, Dropout};
use super::{Graph, Node, Op};

/// The identity of an architecture: networks that compute the same have the same hash. Written as
/// 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchitectureHash(u64);

/// A graph without what does not matter, in topological order; see [`Graph::hash`].
struct Canonical {
    nodes: Vec<CanonicalNode>,
    output: usize,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct CanonicalNode {
    /// The operation with its options and the shape of its result, as text.
    key: String,
    /// Sorted where their order does not matter.
    inputs: Vec<usize>,
    ordered: bool,
}

impl Graph {
    /// The identity of the architecture: a hash from the output down over everything it depends on.
    ///
    /// It ignores node names, the order of the inputs of an addition, that of a concatenation in a
    /// network without additions that ends in a dense layer (channels that change places take their
    /// weights along, but a sum pairs them and a result shows them), steps that change nothing
    /// (dropout 0, a 1x1 pooling of stride 1, global pooling of one pixel, addition or
    /// concatenation of one input, padding by 0), how padding was expressed, and options that have
    /// no effect (dilation of a 1-wide kernel, stride of a 1-wide result). The input shape counts,
    /// as parameters depend on it.
    ///
    /// Two convolutions with equal options are two sets of weights, so using one twice differs
    /// from using each once; a plain Merkle hash would confuse them. Nodes without weights or
    /// randomness, by contrast, are one if they compute the same from the same. Different
    /// architectures never share a hash (but for a collision of 64 bits); one architecture can get
    /// two in the odd case of inputs without an order that colour refinement (Weisfeiler and Leman)
    /// cannot tell apart although they differ.
    pub fn hash(&self) -> ArchitectureHash {
        let canonical = Canonical::new(self);
        let digest = canonical.write().finalize();
        let first = digest.as_bytes().first_chunk().expect("a digest has 32 bytes");
        ArchitectureHash(u64::from_be_bytes(*first))
    }
}

impl Canonical {
    fn new(graph: &Graph) -> Canonical {
        let mut nodes: Vec<CanonicalNode> = Vec::new();
        let mut seen: HashMap<CanonicalNode, usize> = HashMap::new();
        let mut place = Vec::with_capacity(graph.nodes().len());
        let adds = graph.nodes().iter().any(|node| matches!(node.op, Op::Add));
        let permutable = !adds && matches!(graph.node(graph.output()).op, Op::Dense(_));
        for id in graph.ids() {
            let node = graph.node(id);
            let mut inputs: Vec<usize> =
                node.inputs.iter().map(|input| place[input.index()]).collect();
            let shapes = graph.input_shapes(id);
            if is_identity(node, &shapes) {
                place.push(inputs[0]);
                continue;
            }
            let ordered = match node.op {
                Op::Add => false,
                Op::Concat => !permutable,
                _ => true,
            };
            if !ordered {
                inputs.sort_unstable();
            }
            let canonical = CanonicalNode { key: key(node, &shapes), inputs, ordered };
            let own_state =
                matches!(node.op, Op::Conv2d(_) | Op::BatchNorm | Op::Dense(_) | Op::Dropout(_));
            let next = nodes.len();
            let index =
                if own_state { next } else { *seen.entry(canonical.clone()).or_insert(next) };
            if index == next {
                nodes.push(canonical);
            }
            place.push(index);
        }
        Canonical { nodes, output: place[graph.output().index()] }
    }

    /// Writes nodes in depth-first order from the output. References are numbers in that order, so
    /// that sharing is part of what is written.
    fn write(&self) -> Hasher {
        let visits = self.visits();
        let mut hasher = Hasher::new();
        let mut number: HashMap<usize, usize> = HashMap::new();
        let mut stack = vec![(self.output, 0)];
        while let Some((node, visited)) = stack.pop() {
            if number.contains_key(&node) {
                continue;
            }
            if let Some(&input) = visits[node].get(visited) {
                stack.push((node, visited + 1));
                stack.push((input, 0));
                continue;
            }
            let CanonicalNode { key, inputs, ordered } = &self.nodes[node];
            let mut references: Vec<usize> = inputs.iter().map(|input| number[input]).collect();
            if !ordered {
                references.sort_unstable();
            }
            write_bytes(&mut hasher, key.as_bytes());
            hasher.update(&(references.len() as u64).to_le_bytes());
            for reference in references {
                hasher.update(&(reference as u64).to_le_bytes());
            }
            number.insert(node, number.len());
        }
        hasher
    }

    /// The order in which to visit each node's inputs: as given, those of an addition by colour.
    fn visits(&self) -> Vec<Vec<usize>> {
        let mut visits: Vec<_> = self.nodes.iter().map(|node| node.inputs.clone()).collect();
        if self.nodes.iter().any(|node| !node.ordered) {
            let colours = self.colours();
            for (node, inputs) in self.nodes.iter().zip(&mut visits) {
                if !node.ordered {
                    inputs.sort_by_key(|&input| colours[input]);
                }
            }
        }
        visits
    }

    /// Colours that do not depend on the order of nodes: equal at first for equal operations, then
    /// refined by the colours of inputs and consumers until that splits nothing more.
    fn colours(&self) -> Vec<[u8; 32]> {
        const UNORDERED: u64 = u64::MAX;
        let mut consumers = vec![Vec::new(); self.nodes.len()];
        for (id, node) in self.nodes.iter().enumerate() {
            for (slot, &input) in node.inputs.iter().enumerate() {
                consumers[input].push((id, if node.ordered { slot as u64 } else { UNORDERED }));
            }
        }
        let mut colours: Vec<[u8; 32]> =
            self.nodes.iter().map(|node| *blake3::hash(node.key.as_bytes()).as_bytes()).collect();
        let mut classes = 0;
        loop {
            let distinct = colours.iter().collect::<HashSet<_>>().len();
            if distinct == classes {
                return colours;
            }
            classes = distinct;
            colours = (0..self.nodes.len())
                .map(|id| {
                    let node = &self.nodes[id];
                    let mut inputs: Vec<_> = node.inputs.iter().map(|&i| colours[i]).collect();
                    if !node.ordered {
                        inputs.sort_unstable();
                    }
                    let mut above: Vec<_> =
                        consumers[id].iter().map(|&(c, slot)| (colours[c], slot)).collect();
                    above.sort_unstable();
                    let mut hasher = Hasher::new();
                    hasher.update(&colours[id]);
                    hasher.update(&(inputs.len() as u64).to_le_bytes());
                    inputs.iter().for_each(|colour| write_bytes(&mut hasher, colour));
                    for (colour, slot) in above {
                        hasher.update(&colour).update(&slot.to_le_bytes());
                    }
                    *hasher.finalize().as_bytes()
                })
                .collect();
        }
    }
}

/// Whether the node's result always equals its first input.
fn is_identity(node: &Node, shapes: &[Image]) -> bool {
    match node.op {
        Op::Dropout(Dropout { rate }) => rate == 0.0,
        Op::Pool(pool) => pool.size == Extent::square(1) && pool.stride == Extent::square(1),
        Op::GlobalAveragePool => shapes[0].extent() == Extent::square(1),
        Op::Add | Op::Concat => shapes.len() == 1,
        Op::ZeroPad(sides) => sides.is_zero(),
        _ => false,
    }
}

/// A node's operation as text, without options that have no effect. The shape of the result
/// stands for padding at the bottom and at the right.
fn key(node: &Node, shapes: &[Image]) -> String {
    let mut numbers = vec![node.shape.height, node.shape.width, node.shape.channels];
    if let Some(window) = node.op.window() {
        let sides = window.sides(shapes[0].extent());
        let Extent { height, width } = node.shape.extent();
        let effective = |step: usize, count: usize| if count == 1 { 1 } else { step };
        numbers.extend([window.size.height, window.size.width, sides.top, sides.left]);
        numbers.extend([
            effective(window.stride.height, height),
            effective(window.stride.width, width),
            effective(window.dilation.height, window.size.height),
            effective(window.dilation.width, window.size.width),
        ]);
    }
    let operation = match node.op {
        Op::Conv2d(Conv2d { kind: ConvolutionKind::Full { .. }, bias, .. }) => {
            format!("conv bias={bias}")
        }
        Op::Conv2d(Conv2d { kind: ConvolutionKind::Depthwise, bias, .. }) => {
            format!("depthwise bias={bias}")
        }
        Op::Pool(pool) => format!("{} pool", pool.kind),
        Op::ZeroPad(sides) => format!("zero pad top={} left={}", sides.top, sides.left),
        // What is left has no options, or prints all of them.
        op => op.to_string(),
    };
    format!("{operation} {numbers:?}")
}

/// Writes `bytes` after their length, so that neighbours cannot run into each other.
fn write_bytes(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
}

impl fmt::Display for ArchitectureHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for ArchitectureHash {
    type Err = ParseIntError;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<ArchitectureHash, ParseIntError> {
        u64::from_str_radix(text, 16).map(ArchitectureHash)
    }
}
