//! Convolutions that read segments of channels through normalisations and a relu, take the moments of
//! their output, and leave the gradients of the segments with the sums that these want.
//!
//! Moments and sums come in as many parts as suit a backend and are not compared here.

use nasrl_tensor::ops::{
    Activation, Conv2d, Epilogue, FilterGradients, FusedConv2dBackend, GradientForm, Normalised,
    Output, OutputGradient, Producer, Segment, SegmentMut, Sum, Sums, Through,
};
use nasrl_tensor::{DType::F32, Error, Memory, Result};
use nasrl_tests::Tolerance;

use super::words;
use crate::case::{Agreement, Case, Setting, Shapes, Work, calling};

const RELU: Option<Activation> = Some(Activation::Relu);

/// A convolution whose input is put together.
#[derive(Clone)]
struct Layer {
    geometry: Conv2d,
    segments: Vec<usize>,
}

pub(super) fn cases<B: FusedConv2dBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let layers = match setting.shapes {
        Shapes::Small => small(),
        Shapes::Real { .. } => real(),
    };
    let mut cases = Vec::new();
    for layer in layers {
        cases.extend(passes(setting, &layer)?);
    }
    Ok(cases)
}

/// A 3x3 layer on a square map.
fn layer(side: usize, segments: &[usize], filters: usize, stride: usize) -> Layer {
    let channels = segments.iter().sum();
    let geometry =
        Conv2d { stride: [stride; 2], ..Conv2d::new([side; 2], channels, filters, [3, 3]) };
    Layer { geometry: geometry.same(), segments: segments.to_vec() }
}

/// Layers of the reference space's children and, the last three, of `nas-rl-cnn`.
fn real() -> Vec<Layer> {
    vec![
        layer(16, &[64], 64, 1),
        layer(16, &[64], 32, 2),
        layer(32, &[48], 48, 1),
        layer(32, &[48, 36], 48, 1),
        layer(32, &[36, 24, 64], 36, 1),
    ]
}

/// Whole chunks of eight channels, chunks that segments share, and what no kernel fuses.
fn small() -> Vec<Layer> {
    vec![layer(7, &[16, 8], 24, 1), layer(6, &[12, 24], 20, 2), layer(5, &[3, 2], 5, 1)]
}

fn passes<B: FusedConv2dBackend>(setting: &Setting<'_, B>, layer: &Layer) -> Result<Vec<Case<B>>> {
    let Layer { geometry, segments } = layer.clone();
    let (dtype, images, on) = (setting.dtype, setting.images(3), setting.on);
    let filters = geometry.filters;
    let [pixels, positions] =
        [geometry.input, geometry.output()].map(|[height, width]| images * height * width);
    let [x_len, y_len] = [pixels * geometry.channels, positions * filters];
    let count = geometry.filter_shape().count();
    let mut draw = setting.draw(12);
    let weights = draw.values(F32, count)?;
    let plan = || {
        let mut plan = on.conv2d_plan(&geometry, dtype)?;
        on.conv2d_load(&mut plan, &weights)?;
        Ok::<_, Error>(plan)
    };
    let (fprop, dgrad, wgrad) = (plan()?, plan()?, plan()?);
    let parts = on.conv2d_parts(&fprop, images);
    let mut moments = draw.zeros(F32, 3 * parts.moments * filters)?;
    let sums = segments.iter().map(|channels| draw.zeros(F32, 2 * parts.sums * channels));
    let mut sums = sums.collect::<Result<Vec<_>>>()?;

    // Of each segment its values and what normalises them.
    let mut input = || {
        let each = segments.iter().flat_map(|channels| {
            [draw.values(dtype, pixels * channels), draw.values(F32, 4 * channels)]
        });
        each.collect::<Result<Vec<_>>>()
    };
    let of_fprop = input()?;
    let [of_dgrad, of_wgrad] = [input()?, input()?];
    // The gradient, the output and the coefficients that it came through.
    let mut gradient = || {
        let lens = [(dtype, y_len), (dtype, y_len), (F32, 4 * filters)];
        lens.map(|(dtype, len)| draw.values(dtype, len)).into_iter().collect::<Result<Vec<_>>>()
    };
    let [to_dgrad, to_wgrad] = [gradient()?, gradient()?];

    let window = geometry.kernel[0] * geometry.kernel[1];
    let each = Tolerance::rounding(dtype);
    // Products of up to `largest`. What is rounded on the way may come out as either neighbour where
    // one backend rounds a product before it adds and another does not.
    let close = |dtype, terms, largest: f64| {
        let sum = Tolerance::sum(dtype, terms);
        let absolute = largest * (sum.absolute + each.absolute);
        Agreement::ExactOnIntegers(Tolerance { absolute, relative: sum.relative })
    };
    let flops = images as u64 * geometry.flops();
    let work = |bytes: usize| Work { flops, bytes: bytes as u64 };
    let [input_bytes, output_bytes] = [x_len, y_len].map(|len| len * dtype.size());
    let of_filters = count * dtype.size();
    let together: Vec<String> = segments.iter().map(ToString::to_string).collect();
    let shape = format!("{}, normalised {}", words(&geometry, images), together.join("+"));
    let outputs = segments.iter().map(|channels| draw.zeros(dtype, pixels * channels));
    let of_segments = outputs.collect::<Result<Vec<_>>>()?;
    let [read_by_fprop, written] = [(); 2].map(|()| segments.clone());
    let read_by_wgrad = segments;
    Ok(vec![
        Case {
            pass: "fused fprop".to_owned(),
            shape: shape.clone(),
            work: work(input_bytes + of_filters + output_bytes),
            agreement: close(dtype, window * geometry.channels, 2.0),
            inputs: of_fprop,
            outputs: vec![draw.zeros(dtype, y_len)?],
            call: calling::<B>(move |on, x, y| {
                let epilogue = Epilogue { bias: None, relu: false };
                let output = Output { y: &mut y[0], moments: Some(&mut moments) };
                let x = normalised(x, &read_by_fprop);
                on.conv2d_fprop_fused(&fprop, images, &x, epilogue, output)
            }),
        },
        Case {
            pass: "fused dgrad".to_owned(),
            shape: shape.clone(),
            work: work(2 * output_bytes + of_filters + 2 * input_bytes),
            agreement: close(dtype, window * filters, 3.0),
            inputs: [to_dgrad, of_dgrad].into_iter().flatten().collect(),
            outputs: of_segments,
            call: calling::<B>(move |on, x, dx| {
                let (dy, x) = through(x);
                let x = x.chunks_exact(2).zip(&written);
                let mut dx: Vec<_> = (dx.iter_mut().zip(&mut sums).zip(x))
                    .map(|((dx, sums), (x, &channels))| {
                        let (x, normalizer) = (&x[0], &x[1]);
                        let sums = Sums { x, normalizer, activation: RELU, sums };
                        let producer = Producer::BatchNorm(sums);
                        SegmentMut { dx, channels, sum: Sum::Store, producer }
                    })
                    .collect();
                on.conv2d_dgrad_fused(&dgrad, images, &dy, &mut dx)
            }),
        },
        Case {
            pass: "fused wgrad".to_owned(),
            shape,
            work: work(input_bytes + 2 * output_bytes + count * F32.size()),
            agreement: close(F32, positions, 6.0),
            inputs: [to_wgrad, of_wgrad].into_iter().flatten().collect(),
            outputs: vec![draw.zeros(F32, count)?, draw.zeros(F32, filters)?],
            call: calling::<B>(move |on, x, gradients| {
                let (dy, x) = through(x);
                let [dw, bias] = gradients else { unreachable!("two outputs above") };
                let form = GradientForm::Total(Sum::Add);
                let gradients = FilterGradients { dw, bias: Some(bias), form };
                let x = normalised(x, &read_by_wgrad);
                on.conv2d_wgrad_fused(&wgrad, images, &x, &dy, gradients)
            }),
        },
    ])
}

/// The segments that values and their normalizers are, two buffers each.
fn normalised<'a, B: Memory>(buffers: &'a [B::Buffer], segments: &[usize]) -> Vec<Segment<'a, B>> {
    let segment = |(pair, &channels): (&'a [B::Buffer], &usize)| {
        let norm = Normalised { normalizer: &pair[1], activation: RELU };
        Segment { x: &pair[0], channels, norm: Some(norm) }
    };
    buffers.chunks_exact(2).zip(segments).map(segment).collect()
}

/// The gradient that the first three buffers are, and the others.
fn through<B: Memory>(buffers: &[B::Buffer]) -> (OutputGradient<'_, B>, &[B::Buffer]) {
    let norm = Through { y: &buffers[1], coefficients: &buffers[2], activation: RELU };
    (OutputGradient { dy: &buffers[0], norm: Some(norm) }, &buffers[3..])
}
