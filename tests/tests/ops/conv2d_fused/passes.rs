//! The fused passes of a case, and what they leave.

use nasrl_tensor::ops::{
    Activation, Conv2dBackend, Epilogue, FilterGradients, FusedConv2dBackend, GradientForm,
    Normalised, Output, OutputGradient, Producer, Segment, SegmentMut, Sum, Sums, Through,
};
use nasrl_tensor::{DType, Memory};

use super::{Case, F32, Operands, RELU, norm_of, sum_of};
use crate::Device;

pub(super) type Buffer = <Device as Memory>::Buffer;

/// Buffers of a dtype on a device, longer than what they hold, as those of a program are.
pub(super) struct Bench<'a> {
    pub(super) on: &'a Device,
    pub(super) dtype: DType,
}

const BEYOND: [f32; 3] = [7.0; 3];

impl Bench<'_> {
    pub(super) fn activations(&self, values: &[f32]) -> Buffer {
        self.buffer(self.dtype, values)
    }

    pub(super) fn buffer(&self, dtype: DType, values: &[f32]) -> Buffer {
        let longer = [values, &BEYOND].concat();
        let mut wide = self.on.zeros(F32, longer.len()).unwrap();
        self.on.write(&longer, &mut wide).unwrap();
        let mut buffer = self.on.zeros(dtype, longer.len()).unwrap();
        self.on.cast(longer.len(), &wide, &mut buffer).unwrap();
        buffer
    }

    pub(super) fn read(&self, buffer: &Buffer) -> Vec<f32> {
        let len = Device::capacity(buffer);
        let mut wide = self.on.zeros(F32, len).unwrap();
        self.on.cast(len, buffer, &mut wide).unwrap();
        let mut values = vec![0.0f32; len];
        self.on.read(&wide, &mut values).unwrap();
        let beyond = values.split_off(len - BEYOND.len());
        assert_eq!(beyond, BEYOND, "written past the end");
        values
    }
}

/// What the passes leave.
pub(super) struct Found {
    pub(super) y: Vec<f32>,
    pub(super) moments: Vec<f32>,
    pub(super) dx: Vec<Vec<f32>>,
    pub(super) sums: Vec<Vec<f32>>,
    pub(super) dw: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) pieces: [Vec<f32>; 2],
}

/// The activation of a normalisation, in a test that changes it.
pub(super) type Replaced = fn(Option<Activation>) -> Option<Activation>;

pub(super) fn fused(bench: &Bench<'_>, case: &Case, operands: &Operands, f: Replaced) -> Found {
    let (on, images, g) = (bench.on, operands.problem.images, &case.geometry);
    let mut plan = on.conv2d_plan(g, bench.dtype).unwrap();
    on.conv2d_load(&mut plan, &bench.buffer(F32, &operands.problem.w)).unwrap();
    let parts = on.conv2d_parts(&plan, images);
    let memory = on.conv2d_memory(g, bench.dtype, images).parts;
    assert!(memory.moments >= parts.moments && memory.sums >= parts.sums);
    let garbage = |dtype, len: usize| bench.buffer(dtype, &vec![3.0; len]);

    let x: Vec<[Buffer; 2]> = (operands.x.iter())
        .map(|[x, lines]| [bench.activations(x), bench.buffer(F32, lines)])
        .collect();
    let segments: Vec<_> = (x.iter().zip(&case.segments).enumerate())
        .map(|(index, ([x, normalizer], &channels))| {
            let norm = norm_of(index)
                .map(|activation| Normalised { normalizer, activation: f(activation) });
            Segment { x, channels, norm }
        })
        .collect();
    let mut y = garbage(bench.dtype, operands.y.len());
    let mut moments = garbage(F32, 3 * parts.moments * g.filters);
    let epilogue = Epilogue { bias: None, relu: false };
    let output = Output { y: &mut y, moments: Some(&mut moments) };
    on.conv2d_fprop_fused(&plan, images, &segments, epilogue, output).unwrap();

    let dy = bench.activations(&operands.problem.dy);
    let raw = bench.activations(&operands.y);
    let coefficients = bench.buffer(F32, &operands.coefficients);
    let through = Through { y: &raw, coefficients: &coefficients, activation: f(RELU) };
    let gradient = OutputGradient { dy: &dy, norm: Some(through) };
    let mut dx: Vec<_> = operands.before.iter().map(|dx| bench.activations(dx)).collect();
    let sums = |channels: &usize| garbage(F32, 2 * parts.sums * channels);
    let mut sums: Vec<_> = case.segments.iter().map(sums).collect();
    let mut sinks: Vec<_> = (dx.iter_mut().zip(&mut sums).zip(x.iter().zip(&case.segments)))
        .enumerate()
        .map(|(index, ((dx, sums), ([x, normalizer], &channels)))| {
            let producer = match norm_of(index) {
                None => Producer::Relu(x),
                Some(activation) => {
                    Producer::BatchNorm(Sums { x, normalizer, activation: f(activation), sums })
                }
            };
            SegmentMut { dx, channels, sum: sum_of(index), producer }
        })
        .collect();
    on.conv2d_dgrad_fused(&plan, images, &gradient, &mut sinks).unwrap();

    let (of_filters, of_bias) = operands.dw.split_at(operands.problem.w.len());
    let (mut dw, mut bias) = (bench.buffer(F32, of_filters), bench.buffer(F32, of_bias));
    let form = GradientForm::Total(Sum::Add);
    let gradients = FilterGradients { dw: &mut dw, bias: Some(&mut bias), form };
    on.conv2d_wgrad_fused(&plan, images, &segments, &gradient, gradients).unwrap();
    let count = on.conv2d_gradient_pieces(&plan, images);
    let mut pieces = [of_filters, of_bias].map(|all| garbage(F32, count * all.len()));
    let [dw_pieces, bias_pieces] = &mut pieces;
    let form = GradientForm::Pieces;
    let gradients = FilterGradients { dw: dw_pieces, bias: Some(bias_pieces), form };
    on.conv2d_wgrad_fused(&plan, images, &segments, &gradient, gradients).unwrap();

    let read_all = |buffers: &[Buffer]| buffers.iter().map(|b| bench.read(b)).collect();
    Found {
        y: bench.read(&y),
        moments: bench.read(&moments),
        dx: read_all(&dx),
        sums: read_all(&sums),
        dw: bench.read(&dw),
        bias: bench.read(&bias),
        pieces: pieces.map(|pieces| bench.read(&pieces)),
    }
}

/// Pieces or parts of so many values added up in their order.
pub(super) fn added(pieces: &[f32], len: usize) -> Vec<f32> {
    let mut total = vec![0.0; len];
    for piece in pieces.chunks_exact(len) {
        total.iter_mut().zip(piece).for_each(|(total, piece)| *total += piece);
    }
    total
}
