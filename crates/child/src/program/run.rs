//! Running the steps of a stage for a block of images.

use std::ops::Range;

use nasrl_space::Image;
use nasrl_tensor::ops::{
    AugmentInputs, ChannelRange, CopyChannels, CrossEntropy, CrossEntropyInputs, Dropout, Epilogue,
    GlobalAveragePool, ImageBatch, ImageSource, Matmul, Operand, Rows, Sum, Upstream,
};
use nasrl_tensor::{Backend, Result};

use super::Batch;
use super::ir::{Operation, Output, Step, ValueId};
use super::plan::{Plan, Slot};
use super::state::{Group, State, TAKEN, Worker};
use crate::schedule::Block;

/// Where a batch comes from.
pub(super) enum Feed<'a, B: Backend> {
    /// The host, block by block.
    Host(&'a Batch<'a>),
    /// The device, which holds its dataset; it is one block.
    Device(Here<'a, B>),
}

/// A batch that is on the device.
pub(super) struct Here<'a, B: Backend> {
    /// Those of the dataset.
    pub(super) images: &'a B::Buffer,
    /// Those of the batch.
    pub(super) indices: &'a B::Buffer,
    pub(super) labels: &'a B::Buffer,
    /// What the number of the step is read from.
    pub(super) clock: &'a B::Buffer,
    pub(super) count: usize,
}

impl<B: Backend> Feed<'_, B> {
    /// How many images the batch has.
    pub(super) fn images(&self) -> usize {
        match self {
            Feed::Host(batch) => batch.indices.len(),
            Feed::Device(here) => here.count,
        }
    }

    fn clock(&self) -> Option<&B::Buffer> {
        match self {
            Feed::Host(_) => None,
            Feed::Device(here) => Some(here.clock),
        }
    }
}

/// A block of images on its way through a stage.
pub(super) struct Run<'a, B: Backend> {
    pub(super) backend: &'a B,
    pub(super) plan: &'a Plan,
    pub(super) state: &'a State<B>,
    pub(super) feed: &'a Feed<'a, B>,
    pub(super) worker: &'a mut Worker<B>,
    pub(super) group: &'a mut Group<B>,
    pub(super) block: Block,
    /// Whether the block is all of its group, so that gradients may be left in pieces.
    pub(super) single: bool,
}

impl<B: Backend> Run<'_, B> {
    /// Runs these steps.
    pub(super) fn steps(&mut self, steps: Range<usize>) -> Result<()> {
        let plan = self.plan;
        plan.steps[steps].iter().try_for_each(|step| self.step(step))
    }

    /// Computes a step's outputs, which are taken out of their places so that the inputs can be
    /// read.
    fn step(&mut self, step: &Step) -> Result<()> {
        if let Operation::Folded(index) = step.operation {
            let take = |&output: &Output| self.place(output).take().expect(TAKEN);
            let mut outputs: Vec<B::Buffer> = step.outputs.iter().map(take).collect();
            let outcome = self.folded(&self.plan.folded[index], step, &mut outputs);
            for (&output, buffer) in step.outputs.iter().zip(outputs) {
                *self.place(output) = Some(buffer);
            }
            return outcome;
        }
        let place = step.outputs[0];
        let mut output = self.place(place).take().expect(TAKEN);
        let outcome = self.compute(step, &mut output);
        *self.place(place) = Some(output);
        outcome
    }

    fn place(&mut self, output: Output) -> &mut Option<B::Buffer> {
        match output {
            Output::Gradient(parameter) => &mut self.group.gradients[parameter.0],
            Output::Value(id) => match self.plan.places[id.0] {
                Slot::Thread(index) => &mut self.worker.buffers[index],
                Slot::Block(index) => &mut self.group.blocks[self.block.index][index],
            },
        }
    }

    pub(super) fn read(&self, id: ValueId) -> &B::Buffer {
        let place = match self.plan.places[id.0] {
            Slot::Thread(index) => &self.worker.buffers[index],
            Slot::Block(index) => &self.group.blocks[self.block.index][index],
        };
        place.as_ref().expect(TAKEN)
    }

    /// The elements of a value in this block.
    pub(super) fn len(&self, id: ValueId) -> usize {
        self.plan.values[id.0].len(self.block.images.len())
    }

    /// What a gradient's sum does with what is there: the first block of a group starts it.
    pub(super) fn sum(&self) -> Sum {
        if self.block.index == 0 { Sum::Store } else { Sum::Add }
    }

    fn compute(&mut self, step: &Step, output: &mut B::Buffer) -> Result<()> {
        let (on, images) = (self.backend, self.block.images.len());
        let parameters = &self.state.parameters;
        let input = |index: usize| self.read(step.inputs[index]);
        let mask = || step.inputs.get(1).map(|&mask| self.read(mask));
        let len = || self.len(step.inputs[0]);
        let rows = |channels: usize| Rows { count: len() / channels, channels };
        match step.operation {
            Operation::Images | Operation::Indices | Operation::Labels => {
                self.bring(step.operation, output)
            }
            Operation::Augment { image: Image { height, width, channels }, mode } => {
                let clock = self.feed.clock();
                let (source, inputs) = match self.feed {
                    Feed::Host(_) => {
                        let (images, indices) = (input(0), input(1));
                        (ImageSource::Batch, AugmentInputs { images, indices, clock })
                    }
                    Feed::Device(here) => {
                        let Here { images, indices, .. } = *here;
                        (ImageSource::Dataset, AugmentInputs { images, indices, clock })
                    }
                };
                let batch = ImageBatch { count: images, height, width, channels, source };
                let augment = self.state.augment(mode, self.number());
                on.augment(batch, &augment, inputs, output)
            }
            Operation::Conv2d { filters, bias, relu } => {
                let bias = bias.map(|bias| &parameters[bias.0].values);
                let epilogue = Epilogue { bias, relu };
                on.conv2d_fprop(self.state.plan(filters), images, input(0), epilogue, output)
            }
            Operation::Conv2dDgrad { filters } => {
                on.conv2d_dgrad(self.state.plan(filters), images, input(0), mask(), output)
            }
            Operation::Conv2dWgrad { filters } => {
                let plan = self.state.plan(filters);
                match self.single {
                    true => on.conv2d_wgrad_pieces(plan, images, input(0), input(1), output),
                    false => on.conv2d_wgrad(plan, images, input(0), input(1), self.sum(), output),
                }
            }
            Operation::Bias { bias, channels } => {
                on.bias(rows(channels), input(0), &parameters[bias.0].values, None, output)
            }
            Operation::BiasBackward { channels } => {
                on.bias_backward(rows(channels), input(0), self.sum(), output)
            }
            Operation::Dense { weight, extents: [k, n] } => {
                let product = Matmul { m: images, n, k, a: Operand::Plain, b: Operand::Plain };
                on.matmul(&product, input(0), &parameters[weight.0].values, Sum::Store, output)
            }
            Operation::DenseDgrad { weight, extents: [n, k] } => {
                let product = Matmul { m: images, n, k, a: Operand::Plain, b: Operand::Transposed };
                on.matmul(&product, input(0), &parameters[weight.0].values, Sum::Store, output)
            }
            Operation::DenseWgrad { extents: [m, n] } => {
                let product = Matmul { m, n, k: images, a: Operand::Transposed, b: Operand::Plain };
                on.matmul(&product, input(0), input(1), self.sum(), output)
            }
            Operation::Activation(f) => on.activation(f, len(), input(0), output),
            Operation::ActivationBackward(f) => {
                on.activation_backward(f, len(), input(0), input(1), output)
            }
            Operation::BatchNormMoments { channels } => {
                on.batch_norm_moments(rows(channels), input(0), output)
            }
            Operation::BatchNormApply { norm, channels, activation } => {
                let normalizer = &self.state.norms[norm.0].normalizer;
                on.batch_norm_apply(activation, rows(channels), input(0), normalizer, output)
            }
            Operation::BatchNormSums { norm, channels, activation } => {
                let normalizer = &self.state.norms[norm.0].normalizer;
                let upstream = Upstream { activation, x: input(0), dy: input(1) };
                on.batch_norm_backward_sums(rows(channels), &upstream, normalizer, output)
            }
            Operation::BatchNormBackward { norm, channels, activation } => {
                let coefficients = &self.state.norms[norm.0].coefficients;
                let upstream = Upstream { activation, x: input(0), dy: input(1) };
                on.batch_norm_backward_apply(rows(channels), &upstream, coefficients, output)
            }
            Operation::Pool2d(geometry) => on.pool2d(&geometry, images, input(0), output),
            Operation::Pool2dBackward(geometry) => {
                on.pool2d_backward(&geometry, images, input(0), input(1), output)
            }
            Operation::GlobalAveragePool { pixels, channels } => {
                let geometry = GlobalAveragePool { images, pixels, channels };
                on.global_average_pool(&geometry, input(0), output)
            }
            Operation::GlobalAveragePoolBackward { pixels, channels } => {
                let geometry = GlobalAveragePool { images, pixels, channels };
                on.global_average_pool_backward(&geometry, input(0), mask(), output)
            }
            Operation::Dropout { stream, rate } => {
                let len = len();
                let dropout = Dropout {
                    rate,
                    key: self.state.streams.dropout[stream],
                    step: self.number(),
                    offset: (len / images * self.block.images.start) as u64,
                };
                on.dropout(&dropout, self.feed.clock(), len, input(0), output)
            }
            Operation::Add if self.writes_over(step.inputs[0], step.outputs[0]) => {
                on.add_assign(len(), input(1), output)
            }
            Operation::Add => on.add(len(), input(0), input(1), output),
            Operation::Concat { pixels } => {
                let rows = images * pixels;
                let widths = step.inputs.iter().map(|&x| self.len(x) / rows);
                let width = widths.clone().sum();
                let mut first = 0;
                for (&x, channels) in step.inputs.iter().zip(widths) {
                    let from = ChannelRange { first: 0, width: channels };
                    let to = ChannelRange { first, width };
                    let geometry = CopyChannels { rows, channels, from, to };
                    on.copy_channels(&geometry, self.read(x), Sum::Store, output)?;
                    first += channels;
                }
                Ok(())
            }
            Operation::Slice { pixels, first, channels } => {
                let rows = images * pixels;
                let from = ChannelRange { first, width: len() / rows };
                let to = ChannelRange { first: 0, width: channels };
                let geometry = CopyChannels { rows, channels, from, to };
                on.copy_channels(&geometry, input(0), Sum::Store, output)
            }
            Operation::Pad2d(geometry) => on.pad2d(&geometry, images, input(0), output),
            Operation::Pad2dBackward(geometry) => {
                on.pad2d_backward(&geometry, images, input(0), output)
            }
            Operation::Cast => on.cast(len(), input(0), output),
            Operation::Folded(_) => unreachable!("it has outputs of its own"),
            Operation::Loss => self.loss(step, output),
        }
    }

    /// The number of the step, less what the clock counts.
    fn number(&self) -> u64 {
        match self.feed {
            Feed::Host(_) => self.state.steps,
            Feed::Device(_) => 0,
        }
    }

    /// Copies the block's part of a batch from the host, if that is where it comes from.
    fn bring(&mut self, part: Operation, output: &mut B::Buffer) -> Result<()> {
        let Feed::Host(batch) = self.feed else { return Ok(()) };
        let indices = &batch.indices[self.block.images.clone()];
        match part {
            Operation::Images => {
                let host = &mut self.worker.bytes;
                host.clear();
                for &index in indices {
                    host.extend_from_slice(batch.split.image(index as usize));
                }
                self.backend.write(host, output)
            }
            Operation::Labels => {
                let host = &mut self.worker.labels;
                host.clear();
                let labels = batch.split.labels();
                host.extend(indices.iter().map(|&index| labels[index as usize]));
                self.backend.write(host, output)
            }
            _ => self.backend.write(indices, output),
        }
    }

    /// The loss of the block's images, added to that of the group, and its gradient.
    fn loss(&mut self, step: &Step, output: &mut B::Buffer) -> Result<()> {
        let mut sums = self.group.loss.take().expect(TAKEN);
        let [logits, labels] = [step.inputs[0], step.inputs[1]];
        let count = self.block.images.len();
        let geometry = CrossEntropy {
            rows: Rows { count, channels: self.len(logits) / count },
            divisor: self.feed.images() as f32,
            sum: self.sum(),
        };
        let labels = match self.feed {
            Feed::Host(_) => self.read(labels),
            Feed::Device(here) => here.labels,
        };
        let (logits, clock) = (self.read(logits), self.feed.clock());
        let inputs = CrossEntropyInputs { logits, labels, clock };
        let outcome =
            self.backend.cross_entropy_with_gradient(&geometry, inputs, &mut sums, output);
        self.group.loss = Some(sums);
        outcome
    }

    /// Whether the output of a step has the place of an input.
    pub(super) fn writes_over(&self, input: ValueId, output: Output) -> bool {
        let place = |id: ValueId| self.plan.places[id.0];
        matches!(output, Output::Value(output) if place(output) == place(input))
    }
}
