//! Networks of every shape.

use nasrl_space::{
    Activation, Conv2d, ConvolutionKind, Dense, Dropout, Extent, Graph, GraphBuilder, Image,
    NodeId, Op, Padding, Pool, PoolKind, Sides, Space,
};
use nasrl_tests::Inputs;

/// Classes of every network here.
pub(crate) const CLASSES: usize = 5;

/// A child of the reference space.
pub(crate) fn reference_child(tokens: &str, input: Image) -> Graph {
    let space = Space::reference();
    space.build(&space.parse(tokens).unwrap(), input, CLASSES).unwrap()
}

/// A random child of so many layers of the paper's space, with or without strides to be decided.
pub(crate) fn paper_child(seed: u64, depth: usize, input: Image) -> Graph {
    let name = if seed.is_multiple_of(2) { "nas-rl-cnn" } else { "nas-rl-cnn-strides" };
    let space = Space::open(name).unwrap().at_depth(depth).unwrap();
    let mut inputs = Inputs::new(seed);
    let indices = space.decisions().iter().map(|d| inputs.below(d.values().len()) as u16);
    let tokens = space.tokens(indices.collect()).unwrap();
    space.build(&tokens, input, CLASSES).unwrap()
}

/// A child of the paper's space whose layers read each other side by side, with parts of 36 channels,
/// which are no whole vectors of eight.
pub(crate) fn skipping_child(input: Image) -> Graph {
    let space = Space::open("nas-rl-cnn").unwrap().at_depth(6).unwrap();
    let tokens = "3,3,36/1,1,24,1/1,3,36,11/1,1,48,101/3,1,36,0110/1,1,24,01011";
    space.build(&space.parse(tokens).unwrap(), input, CLASSES).unwrap()
}

/// Three convolutions with batch normalisation, of which the last reads these of the others side by
/// side.
pub(crate) fn normalised_child(concatenated: &[usize], input: Image) -> Graph {
    let mut builder = GraphBuilder::new(input).unwrap();
    let layer = |builder: &mut GraphBuilder, name: &str, filters: usize, from: NodeId| {
        let square = |side| Extent { height: side, width: side };
        let convolution = Conv2d {
            kind: ConvolutionKind::Full { filters },
            kernel: square(3),
            stride: square(1),
            dilation: square(1),
            padding: Padding::Same,
            bias: false,
        };
        let mut add =
            |part: &str, op, from| builder.add(format!("{name}.{part}"), op, &[from]).unwrap();
        let convolution = add("conv", Op::Conv2d(convolution), from);
        let norm = add("norm", Op::BatchNorm, convolution);
        add("relu", Op::Activation(Activation::Relu), norm)
    };
    let from = builder.input();
    let first = layer(&mut builder, "first", 16, from);
    let second = layer(&mut builder, "second", 24, first);
    let inputs: Vec<NodeId> = concatenated.iter().map(|&which| [first, second][which]).collect();
    let concat = builder.add("concat", Op::Concat, &inputs).unwrap();
    let last = layer(&mut builder, "last", 8, concat);
    let pooled = builder.add("pool", Op::GlobalAveragePool, &[last]).unwrap();
    let logits = builder.add("dense", Op::Dense(Dense { units: CLASSES }), &[pooled]).unwrap();
    builder.finish(logits)
}

/// A random network of up to `layers` operations, with skips, joins and every kind of operation.
pub(crate) fn random_graph(seed: u64, layers: usize) -> Graph {
    let mut random = Random { inputs: Inputs::new(seed) };
    let input = Image {
        height: random.pick(&[5, 6, 8]),
        width: random.pick(&[4, 7, 8]),
        channels: random.pick(&[1, 3]),
    };
    let mut builder = GraphBuilder::new(input).unwrap();
    let mut nodes = vec![builder.input()];
    for layer in 0..layers {
        let recent = nodes.len().saturating_sub(3);
        let from = nodes[recent + random.inputs.below(nodes.len() - recent)];
        let (op, inputs) = random.operation(&builder, &nodes, from);
        // Some windows fit nowhere; such a layer is left out.
        if let Ok(node) = builder.add(format!("layer{layer}"), op, &inputs) {
            nodes.push(node);
        }
    }
    let body = nodes[nodes.len() - 1];
    let mut add = |name: &str, op, from: NodeId| builder.add(name, op, &[from]).unwrap();
    let last = match random.inputs.below(3) {
        0 => add("head.dense", Op::Dense(Dense { units: CLASSES }), body),
        1 => {
            let pool = add("head.pool", Op::GlobalAveragePool, body);
            add("head.dense", Op::Dense(Dense { units: CLASSES }), pool)
        }
        _ => {
            let pool = add("head.pool", Op::GlobalAveragePool, body);
            let hidden = add("head.hidden", Op::Dense(Dense { units: 6 }), pool);
            let active = add("head.activation", Op::Activation(Activation::Relu), hidden);
            add("head.dense", Op::Dense(Dense { units: CLASSES }), active)
        }
    };
    builder.finish(last)
}

struct Random {
    inputs: Inputs,
}

impl Random {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.inputs.below(from.len())]
    }

    fn extent(&mut self, from: &[usize]) -> Extent {
        Extent { height: self.pick(from), width: self.pick(from) }
    }

    fn operation(
        &mut self,
        builder: &GraphBuilder,
        nodes: &[NodeId],
        from: NodeId,
    ) -> (Op, Vec<NodeId>) {
        let shape = builder.shape(from);
        let op = match self.inputs.below(14) {
            0..4 => self.convolution(),
            4 => Op::BatchNorm,
            5..8 => Op::Activation(self.pick(&[
                Activation::Relu,
                Activation::Relu,
                Activation::Tanh,
                Activation::Sigmoid,
            ])),
            8 => {
                let size = self.extent(&[1, 2, 3]);
                let padding = self.pick(&[Padding::Same, Padding::Valid]);
                let kind = self.pick(&[PoolKind::Max, PoolKind::Average]);
                Op::Pool(Pool { kind, size, stride: self.extent(&[1, 2]), padding })
            }
            9 => Op::Dropout(Dropout { rate: self.pick(&[0.0, 0.25, 0.5]) }),
            10 => Op::ZeroPad(Sides { top: 1, bottom: 0, left: 0, right: self.pick(&[0, 2]) }),
            11 | 12 => {
                let alike = |node: &&NodeId| builder.shape(**node) == shape;
                let partners: Vec<NodeId> = nodes.iter().filter(alike).copied().collect();
                let others = [self.pick(&partners), self.pick(&partners)];
                return (Op::Add, [&[from], &others[..self.pick(&[1, 2])]].concat());
            }
            _ => {
                let alike = |node: &&NodeId| builder.shape(**node).extent() == shape.extent();
                let partners: Vec<NodeId> = nodes.iter().filter(alike).copied().collect();
                let others = [self.pick(&partners), self.pick(&partners)];
                return (Op::Concat, [&[from], &others[..self.pick(&[0, 1, 2])]].concat());
            }
        };
        (op, vec![from])
    }

    fn convolution(&mut self) -> Op {
        let depthwise = ConvolutionKind::Depthwise;
        let full = ConvolutionKind::Full { filters: self.pick(&[3, 4, 17]) };
        let explicit = Sides { top: 0, bottom: 2, left: 1, right: 0 };
        Op::Conv2d(Conv2d {
            kind: self.pick(&[full, full, full, depthwise]),
            kernel: self.extent(&[1, 2, 3]),
            stride: self.extent(&[1, 1, 2]),
            dilation: self.extent(&[1, 1, 2]),
            padding: self.pick(&[Padding::Same, Padding::Valid, Padding::Explicit(explicit)]),
            bias: self.pick(&[true, false]),
        })
    }
}
