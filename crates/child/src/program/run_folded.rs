//! Running convolutions with what was folded into them.

use nasrl_tensor::ops::{
    Classifier, ClassifierGradients, ClassifierInputs, Epilogue, FilterGradients, GradientForm,
    Normalised, OutputGradient, Pooled, Producer, Segment, SegmentMut, Sum, Sums, Through,
};
use nasrl_tensor::{Backend, Result};

use super::ir::{Folded, Head, Made, Normed, Read, Step, ValueId, Write};
use super::parameters::ParameterId;
use super::run::Run;
use super::state::TAKEN;

impl<B: Backend> Run<'_, B> {
    /// Computes the outputs of a folded step.
    pub(super) fn folded(
        &mut self,
        folded: &Folded,
        step: &Step,
        outputs: &mut [B::Buffer],
    ) -> Result<()> {
        let (on, images, inputs) = (self.backend, self.block.len(), &step.inputs[..]);
        match folded {
            Folded::Head(head) => self.head(head, inputs, outputs),
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

    /// The head of the network: its loss, and its gradients in training.
    fn head(&mut self, head: &Head, inputs: &[ValueId], outputs: &mut [B::Buffer]) -> Result<()> {
        let mut sums = self.group.loss.take().expect(TAKEN);
        let outcome = self.head_with(head, inputs, (&mut sums, outputs));
        self.group.loss = Some(sums);
        outcome
    }

    fn head_with(
        &self,
        head: &Head,
        inputs: &[ValueId],
        (sums, outputs): (&mut B::Buffer, &mut [B::Buffer]),
    ) -> Result<()> {
        let on = self.backend;
        let divisor = self.feed.images() as f32;
        let geometry = Classifier { divisor, sum: self.sum(), ..head.of(self.block.len()) };
        let parameter = |id: ParameterId| &self.state.parameters[id.0].values;
        let inputs = ClassifierInputs {
            x: self.read(inputs[0]),
            pooled: match head.producer {
                None => Pooled::Plain,
                Some(Made::Relu) => Pooled::Relu,
                Some(Made::BatchNorm(Normed { norm, activation })) => {
                    let normalizer = &self.state.norms[norm.0].normalizer;
                    Pooled::Normalized { normalizer, activation }
                }
            },
            weight: parameter(head.weight),
            bias: parameter(head.bias),
            labels: self.labels(inputs[1]),
        };
        let clock = self.feed.clock();
        let [dx, dweight, dbias, norm_sums @ ..] = outputs else {
            return on.classifier(&geometry, &inputs, clock, sums);
        };
        let norm_sums = norm_sums.first_mut();
        let gradients = ClassifierGradients { dx, dweight, dbias, norm_sums };
        on.classifier_with_gradients(&geometry, &inputs, clock, sums, gradients)
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
