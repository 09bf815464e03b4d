//! A layer graph computed as its documentation says, in `f64` and nested loops.
//!
//! It shares no code with the compiler of programs, and is itself held against finite differences.
//! Most operations are linear in their inputs once a maximum has been found: they are lists of
//! terms `y += x * factor`, which say how to go forward and how to go back.

use std::collections::HashMap;

use nasrl_space::{
    Activation, Conv2d, ConvolutionKind, Dropout, Graph, Image, NodeId, Op, Pool, PoolKind, Sides,
};

/// A network with its parameters.
#[derive(Clone)]
pub(crate) struct Interpreter<'a> {
    pub(crate) graph: &'a Graph,
    /// By name, running statistics included.
    pub(crate) parameters: HashMap<String, Vec<f64>>,
    pub(crate) mode: Mode<'a>,
    /// Added to the variance of a batch normalisation.
    pub(crate) epsilon: f64,
}

/// What differs between training and inference.
#[derive(Clone, Copy)]
pub(crate) enum Mode<'a> {
    /// Batch statistics; for each node and element of the batch the factor of dropout.
    Training(&'a dyn Fn(NodeId, usize) -> f64),
    /// Running statistics and no dropout.
    Inference,
}

/// Images that go into the network, NHWC, and their classes.
#[derive(Clone, Copy)]
pub(crate) struct Examples<'a> {
    pub(crate) images: &'a [f64],
    pub(crate) labels: &'a [u32],
}

/// What a batch came to.
#[derive(Default)]
pub(crate) struct Pass {
    /// The mean cross-entropy.
    pub(crate) loss: f64,
    /// Images whose greatest logit is that of their label.
    pub(crate) correct: usize,
    /// By name of the parameter; empty in inference.
    pub(crate) gradients: HashMap<String, Vec<f64>>,
}

/// `y[output] += x[input] * factor`, of one input of a node.
struct Term {
    operand: usize,
    input: usize,
    output: usize,
    factor: Factor,
}

enum Factor {
    Constant(f64),
    /// An element of the node's weight.
    Weight(usize),
}

impl<'a> Interpreter<'a> {
    /// The loss of some images and, in training, its gradients.
    pub(crate) fn run(&self, examples: Examples<'_>) -> Pass {
        let mut values: Vec<Vec<f64>> = Vec::new();
        for id in self.graph.ids() {
            let value = match self.graph.node(id).op {
                Op::Input => examples.images.to_vec(),
                _ => self.forward(id, &values, examples.labels.len()),
            };
            values.push(value);
        }
        let (mut pass, dlogits) = judge(&values[values.len() - 1], examples.labels);
        if matches!(self.mode, Mode::Training(_)) {
            let mut gradients: Vec<Vec<f64>> = values.iter().map(|v| vec![0.0; v.len()]).collect();
            gradients[values.len() - 1] = dlogits;
            let ids: Vec<NodeId> = self.graph.ids().collect();
            for &id in ids[1..].iter().rev() {
                let dy = std::mem::take(&mut gradients[id.index()]);
                self.backward(id, &values, &dy, &mut gradients, &mut pass.gradients);
            }
        }
        pass
    }

    fn name(&self, id: NodeId, suffix: &str) -> String {
        format!("{}.{suffix}", self.graph.node(id).name)
    }

    fn parameter(&self, id: NodeId, suffix: &str) -> &[f64] {
        self.parameters.get(&self.name(id, suffix)).map_or(&[], Vec::as_slice)
    }

    fn forward(&self, id: NodeId, values: &[Vec<f64>], n: usize) -> Vec<f64> {
        let node = self.graph.node(id);
        let x = &values[node.inputs[0].index()];
        match node.op {
            Op::Activation(f) => x.iter().map(|&x| activate(f, x)).collect(),
            Op::BatchNorm => self.normalise(id, x).y,
            _ => {
                let mut y = vec![0.0; n * node.shape.elements()];
                let weight = self.parameter(id, "weight");
                self.terms(id, values, n, &mut |term| {
                    let x = values[node.inputs[term.operand].index()][term.input];
                    y[term.output] += x * term.factor.value(weight);
                });
                let bias = self.parameter(id, "bias");
                if !bias.is_empty() {
                    y.iter_mut().zip(bias.iter().cycle()).for_each(|(y, bias)| *y += bias);
                }
                y
            }
        }
    }

    fn backward(
        &self,
        id: NodeId,
        values: &[Vec<f64>],
        dy: &[f64],
        gradients: &mut [Vec<f64>],
        parameters: &mut HashMap<String, Vec<f64>>,
    ) {
        let node = self.graph.node(id);
        let first = node.inputs[0].index();
        match node.op {
            Op::Activation(f) => {
                for (index, dx) in gradients[first].iter_mut().enumerate() {
                    *dx += slope(f, values[first][index]) * dy[index];
                }
            }
            Op::BatchNorm => {
                let Normalised { unit, scale, .. } = self.normalise(id, &values[first]);
                let c = node.shape.channels;
                let rows = (dy.len() / c) as f64;
                let (mut dgamma, mut dbeta) = (vec![0.0; c], vec![0.0; c]);
                for (index, dy) in dy.iter().enumerate() {
                    dgamma[index % c] += dy * unit[index];
                    dbeta[index % c] += dy;
                }
                for (index, dy) in dy.iter().enumerate() {
                    let channel = index % c;
                    let mean = (dbeta[channel] + unit[index] * dgamma[channel]) / rows;
                    gradients[first][index] += scale[channel] * (dy - mean);
                }
                parameters.insert(self.name(id, "gamma"), dgamma);
                parameters.insert(self.name(id, "beta"), dbeta);
            }
            _ => {
                let weight = self.parameter(id, "weight");
                let mut dweight = vec![0.0; weight.len()];
                let n = dy.len() / node.shape.elements();
                self.terms(id, values, n, &mut |term| {
                    let operand = node.inputs[term.operand].index();
                    let dy = dy[term.output];
                    gradients[operand][term.input] += dy * term.factor.value(weight);
                    if let Factor::Weight(index) = term.factor {
                        dweight[index] += dy * values[operand][term.input];
                    }
                });
                let mut dbias = vec![0.0; self.parameter(id, "bias").len()];
                if !dbias.is_empty() {
                    let c = dbias.len();
                    dy.iter().enumerate().for_each(|(index, dy)| dbias[index % c] += dy);
                    parameters.insert(self.name(id, "bias"), dbias);
                }
                if !dweight.is_empty() {
                    parameters.insert(self.name(id, "weight"), dweight);
                }
            }
        }
    }

    /// The terms of a linear operation.
    fn terms(&self, id: NodeId, values: &[Vec<f64>], n: usize, emit: &mut dyn FnMut(Term)) {
        let node = self.graph.node(id);
        let shapes = self.graph.input_shapes(id);
        let (from, to) = (shapes[0], node.shape);
        let mut copy =
            |image: usize, operand: usize, input: usize, output: usize, factor: Factor| {
                let input = image * shapes[operand].elements() + input;
                emit(Term { operand, input, output: image * to.elements() + output, factor });
            };
        for image in 0..n {
            match node.op {
                Op::Conv2d(conv) => {
                    for tap in taps(node.op, from, to) {
                        for (c, k, weight) in products(conv, &tap, from.channels, to.channels) {
                            let input = tap.input * from.channels + c;
                            let output = tap.output * to.channels + k;
                            copy(image, 0, input, output, Factor::Weight(weight));
                        }
                    }
                }
                Op::Pool(Pool { kind, .. }) => {
                    let x = &values[node.inputs[0].index()][image * from.elements()..];
                    let all = taps(node.op, from, to);
                    for window in all.chunk_by(|a, b| a.output == b.output) {
                        for c in 0..from.channels {
                            let place = |tap: &Tap| tap.input * from.channels + c;
                            let output = window[0].output * to.channels + c;
                            let share = Factor::Constant(1.0 / window.len() as f64);
                            match kind {
                                PoolKind::Average => window.iter().for_each(|tap| {
                                    let share = Factor::Constant(share.value(&[]));
                                    copy(image, 0, place(tap), output, share);
                                }),
                                PoolKind::Max => {
                                    let greatest = window
                                        .iter()
                                        .map(place)
                                        .rev()
                                        .max_by(|&a, &b| x[a].total_cmp(&x[b]));
                                    let greatest = greatest.expect("no window is empty");
                                    copy(image, 0, greatest, output, Factor::Constant(1.0));
                                }
                            }
                        }
                    }
                }
                Op::GlobalAveragePool => {
                    let pixels = from.height * from.width;
                    for index in 0..from.elements() {
                        let share = Factor::Constant(1.0 / pixels as f64);
                        copy(image, 0, index, index % from.channels, share);
                    }
                }
                Op::Dense(_) => {
                    for (row, column) in pairs(from.elements(), to.elements()) {
                        let weight = Factor::Weight(row * to.elements() + column);
                        copy(image, 0, row, column, weight);
                    }
                }
                Op::Dropout(Dropout { .. }) => {
                    for index in 0..from.elements() {
                        let factor = match self.mode {
                            Mode::Training(mask) => mask(id, image * from.elements() + index),
                            Mode::Inference => 1.0,
                        };
                        copy(image, 0, index, index, Factor::Constant(factor));
                    }
                }
                Op::Add => {
                    for (operand, index) in pairs(shapes.len(), to.elements()) {
                        copy(image, operand, index, index, Factor::Constant(1.0));
                    }
                }
                Op::Concat => {
                    let mut first = 0;
                    for (operand, shape) in shapes.iter().enumerate() {
                        for (pixel, c) in pairs(to.height * to.width, shape.channels) {
                            let input = pixel * shape.channels + c;
                            let output = pixel * to.channels + first + c;
                            copy(image, operand, input, output, Factor::Constant(1.0));
                        }
                        first += shape.channels;
                    }
                }
                Op::ZeroPad(Sides { top, left, .. }) => {
                    for (row, column) in pairs(from.height, from.width) {
                        for c in 0..from.channels {
                            let input = (row * from.width + column) * from.channels + c;
                            let place = (top + row) * to.width + left + column;
                            let output = place * to.channels + c;
                            copy(image, 0, input, output, Factor::Constant(1.0));
                        }
                    }
                }
                Op::Input | Op::BatchNorm | Op::Activation(_) => unreachable!("not linear"),
            }
        }
    }

    fn normalise(&self, id: NodeId, x: &[f64]) -> Normalised {
        let c = self.graph.node(id).shape.channels;
        let (mean, variance) = match self.mode {
            Mode::Training(_) => moments(x, c),
            Mode::Inference => {
                let running = |suffix| self.parameter(id, suffix).to_vec();
                (running("running_mean"), running("running_variance"))
            }
        };
        let [gamma, beta] = ["gamma", "beta"].map(|suffix| self.parameter(id, suffix));
        let deviation = |channel: usize| (variance[channel] + self.epsilon).sqrt();
        let unit: Vec<f64> = x
            .iter()
            .enumerate()
            .map(|(index, x)| (x - mean[index % c]) / deviation(index % c))
            .collect();
        let affine = |(index, unit)| gamma[index % c] * unit + beta[index % c];
        Normalised {
            y: unit.iter().enumerate().map(affine).collect(),
            unit,
            scale: (0..c).map(|channel| gamma[channel] / deviation(channel)).collect(),
        }
    }
}

impl Factor {
    fn value(&self, weight: &[f64]) -> f64 {
        match *self {
            Factor::Constant(value) => value,
            Factor::Weight(index) => weight[index],
        }
    }
}

/// What batch normalisation makes of its input.
struct Normalised {
    y: Vec<f64>,
    /// The input with mean 0 and variance 1.
    unit: Vec<f64>,
    /// `gamma / deviation` of each channel.
    scale: Vec<f64>,
}

/// Mean and biased variance of each channel.
pub(crate) fn moments(x: &[f64], c: usize) -> (Vec<f64>, Vec<f64>) {
    let rows = (x.len() / c) as f64;
    let mut mean = vec![0.0; c];
    x.iter().enumerate().for_each(|(index, x)| mean[index % c] += x / rows);
    let mut variance = vec![0.0; c];
    for (index, x) in x.iter().enumerate() {
        variance[index % c] += (x - mean[index % c]).powi(2) / rows;
    }
    (mean, variance)
}

/// Loss and correct answers, and the gradient of the logits.
fn judge(logits: &[f64], labels: &[u32]) -> (Pass, Vec<f64>) {
    let n = labels.len() as f64;
    let classes = logits.len() / labels.len();
    let mut pass = Pass::default();
    let mut dlogits = Vec::new();
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        let sum: f64 = row.iter().map(|x| x.exp()).sum();
        pass.loss -= (row[label as usize].exp() / sum).ln() / n;
        let greatest = (0..classes).rev().max_by(|&a, &b| row[a].total_cmp(&row[b]));
        pass.correct += usize::from(greatest == Some(label as usize));
        dlogits.extend(row.iter().enumerate().map(|(class, x)| {
            let target = if class == label as usize { 1.0 } else { 0.0 };
            (x.exp() / sum - target) / n
        }));
    }
    (pass, dlogits)
}

/// A pixel of a window.
struct Tap {
    /// The pixel that the window helps compute.
    output: usize,
    /// The pixel of the input.
    input: usize,
    /// Row and column within the window.
    place: [usize; 2],
}

/// All pixels of all windows that lie in the image, window by window.
fn taps(op: Op, from: Image, to: Image) -> Vec<Tap> {
    let window = op.window().expect("convolutions and poolings have one");
    let sides = window.sides(from.extent());
    let mut taps = Vec::new();
    for (i, j) in pairs(to.height, to.width) {
        for (r, s) in pairs(window.size.height, window.size.width) {
            let row = (i * window.stride.height + r * window.dilation.height)
                .checked_sub(sides.top)
                .filter(|row| *row < from.height);
            let column = (j * window.stride.width + s * window.dilation.width)
                .checked_sub(sides.left)
                .filter(|column| *column < from.width);
            if let (Some(row), Some(column)) = (row, column) {
                let (output, input) = (i * to.width + j, row * from.width + column);
                taps.push(Tap { output, input, place: [r, s] });
            }
        }
    }
    taps
}

/// Channel of the input, channel of the output, and index of the weight, of all products of a tap.
fn products(
    conv: Conv2d,
    tap: &Tap,
    channels: usize,
    filters: usize,
) -> Vec<(usize, usize, usize)> {
    let [r, s] = tap.place;
    let (rows, columns) = (conv.kernel.height, conv.kernel.width);
    match conv.kind {
        ConvolutionKind::Full { .. } => pairs(filters, channels)
            .map(|(k, c)| (c, k, ((k * rows + r) * columns + s) * channels + c))
            .collect(),
        ConvolutionKind::Depthwise => {
            (0..channels).map(|c| (c, c, (c * rows + r) * columns + s)).collect()
        }
    }
}

fn pairs(a: usize, b: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..a).flat_map(move |i| (0..b).map(move |j| (i, j)))
}

fn activate(f: Activation, x: f64) -> f64 {
    match f {
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
    }
}

fn slope(f: Activation, x: f64) -> f64 {
    match f {
        Activation::Relu => f64::from(u8::from(x > 0.0)),
        Activation::Tanh => 1.0 - x.tanh().powi(2),
        Activation::Sigmoid => activate(f, x) * (1.0 - activate(f, x)),
    }
}
