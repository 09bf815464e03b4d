//! Which parameters a graph's program holds, and where the graph's names find them.

use nasrl_space::{ConvolutionKind, Graph, Image, NodeId, Op, Sides};
use nasrl_tensor::ops::{Connection, Conv2d, Padding};

/// One buffer of trained parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ParameterId(pub(super) usize);

/// One batch normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NormId(pub(super) usize);

/// The parameters of a graph as a program holds them.
pub(super) struct Parameters {
    pub(super) trained: Vec<Parameter>,
    pub(super) norms: Vec<Norm>,
    /// Where each of [`Graph::parameter_specs`] is.
    pub(super) places: Vec<Place>,
    held: Vec<Held>,
}

/// A buffer of trained parameters.
pub(super) struct Parameter {
    pub(super) len: usize,
    /// The convolution whose filters they are.
    pub(super) convolution: Option<Conv2d>,
    /// The batch normalisation whose gamma and beta they are.
    pub(super) norm: Option<NormId>,
}

/// A batch normalisation.
pub(super) struct Norm {
    pub(super) channels: usize,
    /// Rows of channels that an image has.
    pub(super) pixels: usize,
    /// Gamma and beta.
    pub(super) parameters: ParameterId,
}

/// Where values of a graph's parameter are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// From an element of a buffer of trained parameters on.
    Trained(ParameterId, usize),
    /// From an element of the running statistics of a batch normalisation on.
    Running(NormId, usize),
}

/// What a node of the graph has.
#[derive(Clone, Copy)]
pub(super) enum Held {
    Nothing,
    Conv2d { filters: ParameterId, bias: Option<ParameterId> },
    Dense { weight: ParameterId, bias: ParameterId },
    BatchNorm(NormId),
}

impl Parameters {
    /// The parameters of a graph.
    pub(super) fn of(graph: &Graph) -> Self {
        let mut all = Parameters {
            trained: Vec::new(),
            norms: Vec::new(),
            places: Vec::new(),
            held: Vec::new(),
        };
        for id in graph.ids() {
            let held = all.node(graph, id);
            all.held.push(held);
        }
        all
    }

    /// What a node has.
    pub(super) fn held(&self, node: NodeId) -> Held {
        self.held[node.index()]
    }

    fn node(&mut self, graph: &Graph, id: NodeId) -> Held {
        let specs = graph.node_parameter_specs(id);
        let lens: Vec<usize> = specs.iter().map(|spec| spec.shape.iter().product()).collect();
        match graph.node(id).op {
            Op::Conv2d(conv) => {
                let convolution = Some(convolution(graph, id, conv));
                let filters = self.whole(lens[0], convolution);
                let bias = lens.get(1).map(|&len| self.whole(len, None));
                Held::Conv2d { filters, bias }
            }
            Op::Dense(_) => {
                Held::Dense { weight: self.whole(lens[0], None), bias: self.whole(lens[1], None) }
            }
            Op::BatchNorm => {
                let image = graph.node(id).shape;
                let channels = image.channels;
                let norm = NormId(self.norms.len());
                let parameters = ParameterId(self.trained.len());
                let len = 2 * channels;
                self.trained.push(Parameter { len, convolution: None, norm: Some(norm) });
                self.norms.push(Norm { channels, pixels: image.height * image.width, parameters });
                self.places.extend([
                    Place::Trained(parameters, 0),
                    Place::Trained(parameters, channels),
                    Place::Running(norm, 0),
                    Place::Running(norm, channels),
                ]);
                Held::BatchNorm(norm)
            }
            _ => Held::Nothing,
        }
    }

    /// A buffer that holds one parameter of the graph.
    fn whole(&mut self, len: usize, convolution: Option<Conv2d>) -> ParameterId {
        let id = ParameterId(self.trained.len());
        self.trained.push(Parameter { len, convolution, norm: None });
        self.places.push(Place::Trained(id, 0));
        id
    }
}

/// The geometry of a convolution node.
fn convolution(graph: &Graph, id: NodeId, conv: nasrl_space::Conv2d) -> Conv2d {
    let input = graph.input_shapes(id)[0];
    let node = graph.node(id);
    Conv2d {
        input: [input.height, input.width],
        channels: input.channels,
        filters: node.shape.channels,
        kernel: [conv.kernel.height, conv.kernel.width],
        stride: [conv.stride.height, conv.stride.width],
        dilation: [conv.dilation.height, conv.dilation.width],
        padding: padding(node.op, input),
        connection: match conv.kind {
            ConvolutionKind::Full { .. } => Connection::Full,
            ConvolutionKind::Depthwise => Connection::Depthwise,
        },
    }
}

/// The zeros around the input of an operation with a window.
pub(super) fn padding(op: Op, input: Image) -> Padding {
    op.window().map(|window| sides(window.sides(input.extent()))).unwrap_or_default()
}

/// The tensor crate's form of numbers of rows and columns.
pub(super) fn sides(sides: Sides) -> Padding {
    let Sides { top, bottom, left, right } = sides;
    Padding { top, bottom, left, right }
}
