//! Running convolutions with what was folded into them.

use nasrl_tensor::ops::{
    Epilogue, FilterGradients, GradientForm, Normalised, OutputGradient, Producer, Segment,
    SegmentMut, Sum, Sums, Through,
};
use nasrl_tensor::{Backend, Result};

use super::ir::{Folded, Made, Normed, Read, Step, ValueId, Write};
use super::run::Run;

impl<B: Backend> Run<'_, B> {
    /// Computes the outputs of a folded step.
    pub(super) fn folded(
        &self,
        folded: &Folded,
        step: &Step,
        outputs: &mut [B::Buffer],
    ) -> Result<()> {
        let (on, images, inputs) = (self.backend, self.block.len(), &step.inputs[..]);
        match folded {
            Folded::Fprop { filters, bias, relu, segments, .. } => {
                let bias = bias.map(|bias| &self.state.parameters[bias.0].values);
                let epilogue = Epilogue { bias, relu: *relu };
                let (y, moments) = outputs.split_first_mut().expect("a pass has a result");
                let output = nasrl_tensor::ops::Output { y, moments: moments.first_mut() };
                let x = self.segments(segments, inputs);
                on.conv2d_fprop_fused(self.state.plan(*filters), images, &x, epilogue, output)
            }
            Folded::Wgrad { filters, through, segments } => {
                let (x, dy) = inputs.split_at(segments.len());
                let (x, dy) = (self.segments(segments, x), self.gradient(*through, dy));
                let form = match self.single {
                    true => GradientForm::Pieces,
                    false => GradientForm::Total(self.sum()),
                };
                let (dw, bias) = outputs.split_first_mut().expect("a pass has a result");
                let gradients = FilterGradients { dw, bias: bias.first_mut(), form };
                on.conv2d_wgrad_fused(self.state.plan(*filters), images, &x, &dy, gradients)
            }
            Folded::Dgrad { filters, through, segments } => {
                let dy = self.gradient(*through, inputs);
                for (number, before) in folded.sums(inputs) {
                    if !self.writes_over(before, step.outputs[number]) {
                        on.copy(self.len(before), self.read(before), &mut outputs[number])?;
                    }
                }
                let rest = &inputs[1 + usize::from(through.is_some())..];
                let mut dx = self.segments_mut(segments, rest, outputs);
                on.conv2d_dgrad_fused(self.state.plan(*filters), images, &dy, &mut dx)
            }
        }
    }

    fn segments(&self, segments: &[Read], inputs: &[ValueId]) -> Vec<Segment<'_, B>> {
        let segment = |(&Read { channels, norm }, &x): (&Read, &ValueId)| {
            let norm = norm.map(|Normed { norm, activation }| {
                let normalizer = &self.state.norms[norm.0].normalizer;
                Normalised { normalizer, activation }
            });
            Segment { x: self.read(x), channels, norm }
        };
        segments.iter().zip(inputs).map(segment).collect()
    }

    /// The gradient that the first inputs are.
    fn gradient(&self, through: Option<Normed>, inputs: &[ValueId]) -> OutputGradient<'_, B> {
        let norm = through.map(|Normed { norm, activation }| {
            let coefficients = &self.state.norms[norm.0].coefficients;
            Through { y: self.read(inputs[1]), coefficients, activation }
        });
        OutputGradient { dy: self.read(inputs[0]), norm }
    }

    /// The gradients that the first outputs are, with the sums that the others are.
    fn segments_mut<'a>(
        &'a self,
        segments: &[Write],
        inputs: &[ValueId],
        outputs: &'a mut [B::Buffer],
    ) -> Vec<SegmentMut<'a, B>> {
        let (gradients, sums) = outputs.split_at_mut(segments.len());
        let (mut sums, mut inputs) = (sums.iter_mut(), inputs.iter());
        let segment = |(&Write { channels, adds, producer }, dx): (&Write, _)| {
            if adds {
                // It was copied to the output, or is the output.
                inputs.next();
            }
            let mut next = || self.read(*inputs.next().expect("a step has all of its inputs"));
            let producer = match producer {
                None => Producer::Any,
                Some(Made::Relu) => Producer::Relu(next()),
                Some(Made::BatchNorm(Normed { norm, activation })) => {
                    let normalizer = &self.state.norms[norm.0].normalizer;
                    let sums = sums.next().expect("a step has all of its outputs");
                    Producer::BatchNorm(Sums { x: next(), normalizer, activation, sums })
                }
            };
            SegmentMut { dx, channels, sum: if adds { Sum::Add } else { Sum::Store }, producer }
        };
        segments.iter().zip(gradients).map(segment).collect()
    }
}
