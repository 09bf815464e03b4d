//! Convolutions through batch normalisations and concatenations: against loops over every index, and
//! bit by bit against the operations one after another.

use nasrl_tensor::ops::{
    Activation, ActivationBackend, BatchNorm, BatchNormBackend, ChannelRange, ConcatBackend,
    Connection, Conv2d, Conv2dBackend, CopyChannels, Epilogue, FilterGradients, FusedConv2dBackend,
    GradientForm, Normalised, Output, OutputGradient, Parts, Producer, Rows, Segment, SegmentMut,
    Sum, Sums, Through, Upstream,
};
use nasrl_tensor::{DType, Memory};
use nasrl_tests::{FLOATS, Inputs, Tolerance, assert_close, assert_equal};

use super::conv2d::{Problem, full, rounded_to};
use crate::{Device, alike, backends};

const F32: DType = DType::F32;
const RELU: Option<Activation> = Some(Activation::Relu);

type Buffer = <Device as Memory>::Buffer;

/// A convolution and how its input's channels are divided. What is normalised follows from the
/// places: of three segments the first and the last are.
struct Case {
    geometry: Conv2d,
    segments: Vec<usize>,
}

/// Channels across blocks of channels, partial tiles, several images a tile, warps that share a
/// tile, phases without taps and in several launches, and what no kernel fuses.
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

/// Buffers of a dtype on a device, longer than what they hold, as those of a program are.
struct Bench<'a> {
    on: &'a Device,
    dtype: DType,
}

const BEYOND: [f32; 3] = [7.0; 3];

impl Bench<'_> {
    fn activations(&self, values: &[f32]) -> Buffer {
        self.buffer(self.dtype, values)
    }

    fn buffer(&self, dtype: DType, values: &[f32]) -> Buffer {
        let longer = [values, &BEYOND].concat();
        let mut wide = self.on.zeros(F32, longer.len()).unwrap();
        self.on.write(&longer, &mut wide).unwrap();
        let mut buffer = self.on.zeros(dtype, longer.len()).unwrap();
        self.on.cast(longer.len(), &wide, &mut buffer).unwrap();
        buffer
    }

    fn read(&self, buffer: &Buffer) -> Vec<f32> {
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
struct Found {
    y: Vec<f32>,
    moments: Vec<f32>,
    dx: Vec<Vec<f32>>,
    sums: Vec<Vec<f32>>,
    dw: Vec<f32>,
    bias: Vec<f32>,
    pieces: [Vec<f32>; 2],
}

/// The activation of a normalisation, in a test that changes it.
type Replaced = fn(Option<Activation>) -> Option<Activation>;

fn fused(bench: &Bench<'_>, case: &Case, operands: &Operands, f: Replaced) -> Found {
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
fn added(pieces: &[f32], len: usize) -> Vec<f32> {
    let mut total = vec![0.0; len];
    for piece in pieces.chunks_exact(len) {
        total.iter_mut().zip(piece).for_each(|(total, piece)| *total += piece);
    }
    total
}

#[test]
fn integers_are_exact() {
    for case in catalogue() {
        for images in [1, 3] {
            let mut inputs = Inputs::new(31);
            let operands = Operands::new(&case, images, |len, most| inputs.integers(len, most));
            let reference = operands.seen(&case).reference();
            for on in backends() {
                for dtype in FLOATS {
                    let found = fused(&Bench { on: &on, dtype }, &case, &operands, |f| f);
                    let what = |of: &str| {
                        let Case { geometry, segments } = &case;
                        format!(
                            "{of} {dtype} on {}, {images} of {geometry:?}, {segments:?}",
                            on.name()
                        )
                    };
                    let y = rounded_to(dtype, &reference.y);
                    assert_equal(&what("y"), &found.y, &y);
                    check_moments(&what("moments"), &found.moments, &y, case.geometry.filters);
                    check_input(&what, dtype, &found, (&case, &operands), &reference.dx);
                    let before = operands.dw.iter().map(|&before| f64::from(before));
                    let seen = operands.seen(&case);
                    let mut bias = vec![0.0; case.geometry.filters];
                    for (at, &dy) in seen.dy.iter().enumerate() {
                        bias[at % case.geometry.filters] += f64::from(dy);
                    }
                    let totals: Vec<f64> = reference.dw.iter().chain(&bias).copied().collect();
                    let sums: Vec<f64> = before.zip(&totals).map(|(a, b)| a + b).collect();
                    let both = [&found.dw[..], &found.bias].concat();
                    assert_equal(&what("dw and bias added"), &both, &sums);
                    let [dw, bias] = &found.pieces;
                    let (len, filters) = (found.dw.len(), found.bias.len());
                    let both = [added(dw, len), added(bias, filters)].concat();
                    assert_equal(&what("dw and bias in pieces"), &both, &totals);
                }
            }
        }
    }
}

/// Moments combine to the rows, the mean and the deviations of what was stored.
fn check_moments(what: &str, moments: &[f32], y: &[f64], filters: usize) {
    let rows = y.len() / filters;
    for c in 0..filters {
        let parts = || {
            moments
                .chunks_exact(3 * filters)
                .map(|part| [part[c], part[filters + c], part[2 * filters + c]].map(f64::from))
        };
        let counted: f64 = parts().map(|[count, ..]| count).sum();
        assert_eq!(counted, rows as f64, "{what}: rows of {c}");
        let found = parts().map(|[count, mean, _]| count * mean).sum::<f64>() / counted;
        let of_channel = || y.iter().skip(c).step_by(filters);
        let mean = of_channel().sum::<f64>() / counted;
        let deviations: f64 = of_channel().map(|y| (y - mean).powi(2)).sum();
        let around =
            |[count, of_part, squares]: [f64; 3]| squares + count * (of_part - found).powi(2);
        let squares: f64 = parts().map(around).sum();
        // Means of up to 256 values, each of a few roundings in f32.
        let scale = of_channel().fold(1.0, |most: f64, y| most.max(y.abs()));
        assert!((found - mean).abs() <= 1e-6 * scale, "{what}: mean of {c}: {found} for {mean}");
        let close = (squares - deviations).abs() <= 1e-5 * deviations + 1e-6 * scale * scale;
        assert!(close, "{what}: deviations of {c}: {squares} for {deviations}");
    }
}

/// The gradients of the segments, and the sums of those that are normalised.
fn check_input(
    what: &impl Fn(&str) -> String,
    dtype: DType,
    found: &Found,
    (case, operands): (&Case, &Operands),
    dx: &[f64],
) {
    let dx = rounded_to(dtype, dx);
    let mut first = 0;
    for (index, &channels) in case.segments.iter().enumerate() {
        let [x, lines] = &operands.x[index];
        let expected: Vec<f64> = (0..x.len())
            .map(|at| {
                let value = dx[at / channels * case.geometry.channels + first + at % channels];
                let masked = norm_of(index).is_none() && x[at] <= 0.0;
                let value = if masked { 0.0 } else { value };
                match sum_of(index) {
                    Sum::Store => value,
                    Sum::Add => value + f64::from(operands.before[index][at]),
                }
            })
            .collect();
        let expected = rounded_to(dtype, &expected);
        assert_equal(&what("dx"), &found.dx[index], &expected);
        first += channels;
        let Some(f) = norm_of(index) else { continue };
        let mut sums = vec![0.0; 2 * channels];
        for (at, dx) in expected.iter().enumerate() {
            let c = at % channels;
            let line = |line: usize| f64::from(lines[line * channels + c]);
            let x = f64::from(x[at]);
            let dead = f == RELU && x * line(0) + line(1) <= 0.0;
            let g = if dead { 0.0 } else { *dx };
            sums[c] += g;
            sums[channels + c] += g * (x - line(2));
        }
        assert_equal(&what("sums"), &added(&found.sums[index], 2 * channels), &sums);
    }
}

/// With values that every step rounds, and functions that kernels fuse or do not.
#[test]
fn results_have_the_bits_of_the_operations_one_after_another() {
    let (fused_ones, another): (Replaced, Replaced) = (|f| f, |f| f.map(|_| Activation::Tanh));
    let catalogue = catalogue();
    let cases = catalogue.iter().map(|case| (case, fused_ones));
    for (case, f) in cases.chain(catalogue[..4].iter().map(|case| (case, another))) {
        let mut inputs = Inputs::new(32);
        let operands = Operands::new(case, 2, |len, _| inputs.uniform(len));
        for on in backends() {
            for dtype in FLOATS {
                let bench = Bench { on: &on, dtype };
                let found = fused(&bench, case, &operands, f);
                let (y, dx, dw) = in_steps(&bench, case, &operands, f);
                let what = format!("{dtype} on {} of {:?}", on.name(), case.geometry);
                assert!(found.y == y, "y {what}");
                assert!(found.dx == dx, "dx {what}");
                assert!(found.dw == dw, "dw {what}");
            }
        }
    }
}

/// The output, the gradients of the segments and that of the filters, by operations that store
/// whatever they compute.
fn in_steps(
    bench: &Bench<'_>,
    case: &Case,
    operands: &Operands,
    f: Replaced,
) -> (Vec<f32>, Vec<Vec<f32>>, Vec<f32>) {
    let (on, images, g) = (bench.on, operands.problem.images, &case.geometry);
    let mut plan = on.conv2d_plan(g, bench.dtype).unwrap();
    on.conv2d_load(&mut plan, &bench.buffer(F32, &operands.problem.w)).unwrap();
    let zeros = |len: usize| bench.activations(&vec![0.0; len]);
    let count = operands.problem.x.len() / g.channels;
    let mut whole = zeros(operands.problem.x.len());
    let mut at = ChannelRange { first: 0, width: g.channels };
    for (index, ([x, lines], &channels)) in operands.x.iter().zip(&case.segments).enumerate() {
        let mut normal = bench.activations(x);
        if let Some(activation) = norm_of(index) {
            let (x, lines) = (bench.activations(x), bench.buffer(F32, lines));
            let rows = Rows { count, channels };
            on.batch_norm_apply(f(activation), rows, &x, &lines, &mut normal).unwrap();
        }
        let from = ChannelRange { first: 0, width: channels };
        let slice = CopyChannels { rows: count, channels, from, to: at };
        on.copy_channels(&slice, &normal, Sum::Store, &mut whole).unwrap();
        at.first += channels;
    }
    let mut y = zeros(operands.y.len());
    let epilogue = Epilogue { bias: None, relu: false };
    on.conv2d_fprop(&plan, images, &whole, epilogue, &mut y).unwrap();

    let (dy, raw) = (bench.activations(&operands.problem.dy), bench.activations(&operands.y));
    let mut gradient = zeros(operands.y.len());
    let rows = Rows { count: operands.y.len() / g.filters, channels: g.filters };
    let upstream = Upstream { activation: f(RELU), x: &raw, dy: &dy };
    let coefficients = bench.buffer(F32, &operands.coefficients);
    on.batch_norm_backward_apply(rows, &upstream, &coefficients, &mut gradient).unwrap();
    let mut of_input = zeros(operands.problem.x.len());
    on.conv2d_dgrad(&plan, images, &gradient, None, &mut of_input).unwrap();
    let mut from = ChannelRange { first: 0, width: g.channels };
    let mut gradients = Vec::new();
    for (index, ([x, _], &channels)) in operands.x.iter().zip(&case.segments).enumerate() {
        let to = ChannelRange { first: 0, width: channels };
        let slice = CopyChannels { rows: count, channels, from, to };
        from.first += channels;
        let mut part = zeros(x.len());
        on.copy_channels(&slice, &of_input, Sum::Store, &mut part).unwrap();
        if norm_of(index).is_none() {
            let (mask, before) = (bench.activations(x), part);
            part = zeros(x.len());
            let relu = Activation::Relu;
            on.activation_backward(relu, x.len(), &mask, &before, &mut part).unwrap();
        }
        let mut dx = bench.activations(&operands.before[index]);
        let all = CopyChannels { from: to, ..slice };
        on.copy_channels(&all, &part, sum_of(index), &mut dx).unwrap();
        gradients.push(bench.read(&dx));
    }
    let mut dw = bench.buffer(F32, &operands.dw[..operands.problem.w.len()]);
    on.conv2d_wgrad(&plan, images, &whole, &gradient, Sum::Add, &mut dw).unwrap();
    (bench.read(&y), gradients, bench.read(&dw))
}

/// The normalizer and the coefficients that statistics in parts make are those of statistics of a
/// whole block, but for the order of their sums.
#[test]
fn parts_make_the_statistics_of_the_whole() {
    let (rows, channels) = (700, 40);
    let mut inputs = Inputs::new(33);
    let x = inputs.uniform(rows * channels);
    let parameters = inputs.uniform(2 * channels);
    let norm = BatchNorm::new(channels);
    for on in backends() {
        let bench = Bench { on: &on, dtype: F32 };
        let parameters = bench.buffer(F32, &parameters);
        let normalizer = |moments: &[Buffer], counts: &[usize]| {
            let part = |(buffer, &count)| Parts { count, buffer };
            let blocks: Vec<_> = moments.iter().zip(counts).map(part).collect();
            let mut running = bench.buffer(F32, &vec![0.0; 2 * channels]);
            let mut normalizer = bench.buffer(F32, &vec![0.0; 4 * channels]);
            on.batch_norm_normalizer(&norm, &blocks, &parameters, &mut running, &mut normalizer)
                .unwrap();
            bench.read(&normalizer)
        };
        let moments = |x: &[f32]| {
            let mut moments = bench.buffer(F32, &vec![0.0; 3 * channels]);
            let rows = Rows { count: x.len() / channels, channels };
            on.batch_norm_moments(rows, &bench.buffer(F32, x), &mut moments).unwrap();
            bench.read(&moments)
        };
        let whole = normalizer(&[bench.buffer(F32, &moments(&x))], &[1]);
        // 28 parts of 25 rows, an empty one among them, in one block and in two.
        let mut parts: Vec<Vec<f32>> = x.chunks(25 * channels).map(moments).collect();
        parts.insert(9, vec![0.0; 3 * channels]);
        let expected: Vec<f64> = whole.iter().copied().map(f64::from).collect();
        for cut in [0, 11] {
            let [first, second] = [&parts[..cut], &parts[cut..]];
            let blocks: Vec<_> = [first, second].into_iter().filter(|b| !b.is_empty()).collect();
            let buffers: Vec<_> = blocks.iter().map(|b| bench.buffer(F32, &b.concat())).collect();
            let counts: Vec<_> = blocks.iter().map(|b| b.len()).collect();
            let what = format!("{} blocks on {}", blocks.len(), on.name());
            assert_close(
                &what,
                &normalizer(&buffers, &counts),
                &expected,
                Tolerance::sum(F32, rows),
            );
        }
    }
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
