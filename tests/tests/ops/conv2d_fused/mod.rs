//! Convolutions through batch normalisations and concatenations: against loops over every index, and
//! bit by bit against the operations one after another.

mod exact;
mod in_steps;
mod passes;
mod random;
mod statistics;

use nasrl_tensor::DType;
use nasrl_tensor::ops::{Activation, Connection, Conv2d, Sum};
use nasrl_tests::Inputs;

use super::conv2d::{Problem, full};
use crate::{Device, alike};
use passes::{Bench, fused};

const F32: DType = DType::F32;
const RELU: Option<Activation> = Some(Activation::Relu);

/// A convolution and how its input's channels are divided. What is normalised follows from the
/// places: of three segments the first and the last are.
struct Case {
    geometry: Conv2d,
    segments: Vec<usize>,
}

/// Channels across blocks of channels, partial tiles, several images a tile, warps that share a
/// tile, phases without taps and in several launches, chunks of eight channels that two or three
/// segments share or that lie across the alignment, and what no kernel fuses.
fn catalogue() -> Vec<Case> {
    let case = |geometry: Conv2d, segments: &[usize]| {
        assert_eq!(segments.iter().sum::<usize>(), geometry.channels);
        Case { geometry, segments: segments.to_vec() }
    };
    let strided = |g, stride| Conv2d { stride, ..g };
    let dilated = |g, dilation| Conv2d { dilation, ..g };
    let depthwise = |g| Conv2d { connection: Connection::Depthwise, ..g };
    vec![
        case(full([8, 8], 16, 24, [3, 3]).same(), &[8, 8]),
        case(strided(full([9, 11], 40, 33, [3, 3]), [2, 3]).same(), &[16, 24]),
        case(dilated(full([12, 13], 24, 16, [3, 2]), [2, 3]).same(), &[24]),
        case(full([4, 4], 72, 64, [1, 1]), &[8, 40, 24]),
        case(full([17, 33], 8, 40, [3, 3]).same(), &[8]),
        case(full([9, 10], 152, 48, [3, 3]).same(), &[48, 56, 48]),
        case(strided(full([10, 9], 16, 72, [3, 3]), [3, 3]), &[8, 8]),
        case(strided(full([9, 8], 24, 16, [1, 1]), [2, 3]), &[8, 8, 8]),
        case(full([6, 7], 60, 36, [3, 3]).same(), &[36, 24]),
        case(strided(full([7, 6], 72, 36, [2, 1]), [2, 1]), &[36, 36]),
        case(full([5, 4], 124, 36, [3, 3]).same(), &[24, 36, 64]),
        case(full([7, 5], 20, 12, [3, 3]).same(), &[4, 12, 4]),
        case(full([6, 7], 5, 8, [3, 3]).same(), &[2, 3]),
        case(full([5, 4], 208, 8, [1, 1]), &[8; 26]),
        case(depthwise(full([6, 7], 16, 16, [3, 3])).same(), &[8, 8]),
    ]
}

/// What normalises a segment, if anything does: its activation.
fn norm_of(segment: usize) -> Option<Option<Activation>> {
    [Some(RELU), None, Some(None)][segment % 3]
}

/// Whether the gradient of a segment is added to what is there.
fn sum_of(segment: usize) -> Sum {
    if segment.is_multiple_of(2) { Sum::Store } else { Sum::Add }
}

/// Values in f32 from which buffers of any dtype are made.
struct Operands {
    problem: Problem,
    /// For each segment its values and, 4 lines, what normalises them.
    x: Vec<[Vec<f32>; 2]>,
    /// The output that dy is the gradient of the normalisation of, and 4 lines.
    y: Vec<f32>,
    coefficients: Vec<f32>,
    /// What dx and dw hold before.
    before: Vec<Vec<f32>>,
    dw: Vec<f32>,
}

impl Operands {
    /// `draw(len, magnitude)` draws values.
    fn new(case: &Case, images: usize, mut draw: impl FnMut(usize, u32) -> Vec<f32>) -> Self {
        let problem = Problem::new(images, case.geometry, |len| draw(len, 3));
        let pixels = images * case.geometry.input.iter().product::<usize>();
        let segment = |&channels: &usize| [draw(pixels * channels, 3), draw(4 * channels, 2)];
        let x = case.segments.iter().map(segment).collect();
        let y = draw(problem.dy.len(), 3);
        let coefficients = draw(4 * case.geometry.filters, 2);
        let before = case.segments.iter().map(|channels| draw(pixels * channels, 9)).collect();
        let dw = draw(problem.w.len() + case.geometry.filters, 9);
        Operands { problem, x, y, coefficients, before, dw }
    }

    /// The problem whose input and gradient are what the convolution sees.
    fn seen(&self, case: &Case) -> Problem {
        let mut seen = self.problem.clone();
        let mut first = 0;
        for (index, ([x, lines], &channels)) in self.x.iter().zip(&case.segments).enumerate() {
            for (at, &x) in x.iter().enumerate() {
                let c = at % channels;
                let value = match norm_of(index) {
                    None => x,
                    Some(f) => apply(f, x * lines[c] + lines[channels + c]),
                };
                seen.x[at / channels * case.geometry.channels + first + c] = value;
            }
            first += channels;
        }
        let filters = case.geometry.filters;
        for (at, (dy, y)) in seen.dy.iter_mut().zip(&self.y).enumerate() {
            let line = |line: usize| self.coefficients[line * filters + at % filters];
            let g = if y * line(0) + line(1) > 0.0 { *dy } else { 0.0 };
            *dy = line(0) * g + (line(2) * y + line(3));
        }
        seen
    }
}

fn apply(f: Option<Activation>, x: f32) -> f32 {
    if f == RELU { x.max(0.0) } else { x }
}

#[test]
fn backends_that_are_alike_give_the_same_bits() {
    let case = &catalogue()[5];
    let mut inputs = Inputs::new(34);
    let operands = Operands::new(case, 3, |len, _| inputs.uniform(len));
    let results = |on: &Device| {
        let found = fused(&Bench { on, dtype: DType::BF16 }, case, &operands, |f| f);
        (found.moments, found.sums, found.dx, [found.dw, found.bias])
    };
    let results: Vec<_> = alike().iter().map(results).collect();
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}
