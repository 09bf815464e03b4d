//! What convolution's kernels do beside what they are for, as the emulator counts it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nasrl_cuda_emulator::{Counters, Options, install};
use nasrl_tensor::cuda::Buffer;
use nasrl_tensor::ops::{
    Activation, Conv2d, Conv2dBackend, Epilogue, FilterGradients, FusedConv2dBackend, GradientForm,
    Normalised, Output, OutputGradient, Producer, Segment, SegmentMut, Sum, Sums, Through,
};
use nasrl_tensor::{Cuda, DType, Memory};
use nasrl_tests::{Inputs, emulated_as};

const OPTIONS: fn() -> Options = || Options { count: true, ..Options::default() };

/// A sector, the least that memory gives.
const SECTOR: u64 = 32;

/// Layers of children whose channels and maps fill tiles: images, side, channels, filters, stride.
const LAYERS: [[usize; 5]; 4] =
    [[2, 16, 64, 64, 1], [4, 16, 64, 32, 2], [4, 8, 32, 64, 1], [1, 32, 48, 48, 1]];

/// The emulated GPU, whose launches are those of the test that holds it.
fn device() -> Option<(Cuda, MutexGuard<'static, ()>)> {
    static ALONE: Mutex<()> = Mutex::new(());
    let on = emulated_as(&OPTIONS()).pop()?;
    Some((on, ALONE.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn random(on: &Cuda, dtype: DType, len: usize) -> Buffer {
    let mut wide = on.zeros(DType::F32, len).unwrap();
    on.write(&Inputs::new(1).uniform(len), &mut wide).unwrap();
    let mut narrow = on.zeros(dtype, len).unwrap();
    on.cast(len, &wide, &mut narrow).unwrap();
    narrow
}

/// The counters of the three passes.
fn passes(on: &Cuda, images: usize, geometry: &Conv2d) -> Vec<Counters> {
    let [p, q] = geometry.output();
    let [h, w] = geometry.input;
    let [input, output] = [h * w * geometry.channels, p * q * geometry.filters];
    let (x, dy) =
        (random(on, DType::BF16, images * input), random(on, DType::BF16, images * output));
    let filters = random(on, DType::F32, geometry.filter_shape().count());
    let (mut y, mut dx) =
        (random(on, DType::BF16, images * output), random(on, DType::BF16, images * input));
    let mut dw = on.zeros(DType::F32, geometry.filter_shape().count()).unwrap();
    let mut plan = on.conv2d_plan(geometry, DType::BF16).unwrap();
    on.conv2d_load(&mut plan, &filters).unwrap();
    let mut counters = counted(on, || {
        let epilogue = Epilogue { bias: None, relu: true };
        on.conv2d_fprop(&plan, images, &x, epilogue, &mut y).unwrap();
        on.conv2d_dgrad(&plan, images, &dy, None, &mut dx).unwrap();
        on.conv2d_wgrad(&plan, images, &x, &dy, Sum::Store, &mut dw).unwrap();
    });
    // All phases of a stride are one launch; the slices' sum is one more.
    assert_eq!(counters.len(), 4);
    counters.truncate(3);
    counters
}

/// The counters of the launches meanwhile.
fn counted(on: &Cuda, work: impl FnOnce()) -> Vec<Counters> {
    let emulator = install(&OPTIONS()).unwrap();
    on.synchronize().unwrap();
    emulator.clear_launches();
    work();
    on.synchronize().unwrap();
    let counters = emulator.launches().into_iter().map(|launch| launch.counters);
    counters.map(|counters| counters.expect("the emulator counts")).collect()
}

#[test]
fn products_are_those_of_the_formula_and_operands_lie_in_different_banks() {
    let Some((on, _alone)) = device() else { return };
    for [images, side, channels, filters, stride] in LAYERS {
        let geometry = Conv2d {
            stride: [stride, stride],
            ..Conv2d::new([side, side], channels, filters, [3, 3])
        };
        let geometry = geometry.same();
        let needed = images as u64 * geometry.flops() / 2;
        for (pass, counters) in
            ["fprop", "dgrad", "wgrad"].into_iter().zip(passes(&on, images, &geometry))
        {
            // wgrad's last group of columns may be partly empty.
            let most = if pass == "wgrad" { needed * 4 / 3 } else { needed };
            let done = counters.mma_multiply_adds;
            assert!(done <= most, "{pass} of {geometry:?}: {done} products for {needed}");
            let conflicts = conflicts_of_fetches(&counters);
            assert!(conflicts.is_empty(), "{pass} of {geometry:?}: {conflicts:?}");
        }
    }
}

/// Conflicts in what is fetched for the tensor cores; copies of a source conflict now and then.
fn conflicts_of_fetches(counters: &Counters) -> Vec<&String> {
    let lines = counters.bank_conflict_lines.keys();
    lines.filter(|line| line.starts_with("prelude.cuh") && !line.contains("source.cuh")).collect()
}

/// A convolution that reads and writes through normalisations.
struct Fused {
    images: usize,
    geometry: Conv2d,
    segments: &'static [usize],
    /// The input's channels as the passes see them, whose chunks of eight come in equal blocks.
    padded: usize,
}

fn fused_layers() -> [Fused; 3] {
    let layer =
        |images, [side, stride]: [usize; 2], segments: &'static [usize], filters, padded| {
            let channels = segments.iter().sum();
            let geometry = Conv2d {
                stride: [stride, stride],
                ..Conv2d::new([side, side], channels, filters, [3, 3])
            };
            Fused { images, geometry: geometry.same(), segments, padded }
        };
    [
        layer(1, [32, 1], &[64], 64, 64),
        layer(2, [16, 1], &[48, 36], 48, 96),
        layer(4, [16, 2], &[64], 32, 64),
    ]
}

/// The counters of the three passes, and the bytes that each must read and write.
fn fused_passes(on: &Cuda, layer: &Fused) -> [(Counters, usize); 3] {
    let &Fused { images, geometry: ref g, segments, .. } = layer;
    let [pixels, positions] = [g.input, g.output()].map(|[h, w]| images * h * w);
    let dtype = DType::BF16;
    let count = g.filter_shape().count();
    let mut plan = on.conv2d_plan(g, dtype).unwrap();
    on.conv2d_load(&mut plan, &random(on, DType::F32, count)).unwrap();
    let parts = on.conv2d_parts(&plan, images);
    let pieces = on.conv2d_gradient_pieces(&plan, images);

    let activation = Some(Activation::Relu);
    let x: Vec<[Buffer; 2]> = (segments.iter())
        .map(|channels| {
            [random(on, dtype, pixels * channels), random(on, DType::F32, 4 * channels)]
        })
        .collect();
    let read: Vec<_> = (x.iter().zip(segments))
        .map(|([x, normalizer], &channels)| Segment {
            x,
            channels,
            norm: Some(Normalised { normalizer, activation }),
        })
        .collect();
    let [dy, raw] = [(); 2].map(|()| random(on, dtype, positions * g.filters));
    let coefficients = random(on, DType::F32, 4 * g.filters);
    let through = Through { y: &raw, coefficients: &coefficients, activation };
    let gradient = OutputGradient { dy: &dy, norm: Some(through) };
    let mut y = on.zeros(dtype, positions * g.filters).unwrap();
    let mut moments = on.zeros(DType::F32, 3 * parts.moments * g.filters).unwrap();
    let mut dx: Vec<[Buffer; 2]> = (segments.iter())
        .map(|channels| {
            let sums = on.zeros(DType::F32, 2 * parts.sums * channels).unwrap();
            [on.zeros(dtype, pixels * channels).unwrap(), sums]
        })
        .collect();
    let mut written: Vec<_> = (dx.iter_mut().zip(&x).zip(segments))
        .map(|(([dx, sums], [x, normalizer]), &channels)| {
            let producer = Producer::BatchNorm(Sums { x, normalizer, activation, sums });
            SegmentMut { dx, channels, sum: Sum::Store, producer }
        })
        .collect();
    let mut dw = on.zeros(DType::F32, pieces * count).unwrap();
    let mut bias = on.zeros(DType::F32, pieces * g.filters).unwrap();
    let counters = counted(on, || {
        let epilogue = Epilogue { bias: None, relu: false };
        let output = Output { y: &mut y, moments: Some(&mut moments) };
        on.conv2d_fprop_fused(&plan, images, &read, epilogue, output).unwrap();
        on.conv2d_dgrad_fused(&plan, images, &gradient, &mut written).unwrap();
        let form = GradientForm::Pieces;
        let gradients = FilterGradients { dw: &mut dw, bias: Some(&mut bias), form };
        on.conv2d_wgrad_fused(&plan, images, &read, &gradient, gradients).unwrap();
    });
    let counters: [Counters; 3] = counters.try_into().expect("a launch a pass");
    // Of two bytes, and of four.
    let [input, output] = [2 * pixels * g.channels, 2 * positions * g.filters];
    let bytes = [
        input + 2 * count + output + 4 * 3 * parts.moments * g.filters,
        2 * output + 2 * count + 2 * input + 4 * 2 * parts.sums * g.channels,
        input + 2 * output + 4 * pieces * (count + g.filters),
    ];
    let [fprop, dgrad, wgrad] = counters;
    let [of_fprop, of_dgrad, of_wgrad] = bytes;
    [(fprop, of_fprop), (dgrad, of_dgrad), (wgrad, of_wgrad)]
}

#[test]
fn what_is_fused_moves_each_operand_once_in_wide_accesses() {
    let Some((on, _alone)) = device() else { return };
    for layer in fused_layers() {
        let Fused { images, ref geometry, segments, padded } = layer;
        let products = images * geometry.flops() as usize / 2 / geometry.channels * padded;
        let pixels = images * geometry.input.iter().product::<usize>();
        // A pixel of 36 channels has 72 bytes: of two pixels' chunks of eight channels one is not
        // aligned, so that halves are moved. What is written is cut up in one way for all segments,
        // whose stored activations are read likewise for their sums.
        let uneven = segments.iter().filter(|channels| *channels % 8 != 0).sum();
        let written = if uneven == 0 { 0 } else { 2 * geometry.channels };
        for ((pass, halved), (counters, bytes)) in
            [("fprop", uneven), ("dgrad", written), ("wgrad", uneven)]
                .into_iter()
                .zip(fused_passes(&on, &layer))
        {
            let what = format!("{pass} of {segments:?}, {geometry:?}: {counters:?}");
            assert_eq!(counters.mma_multiply_adds, products as u64, "{what}");
            let sectors =
                counters.global_distinct_sectors_read + counters.global_distinct_sectors_written;
            // Zeros of packed filters, taps and lines of normalisations make up the rest.
            assert!(SECTOR * sectors * 10 <= bytes as u64 * 11, "{what} for {bytes} bytes");
            let [.., halves, wholes] = counters.global_widths;
            assert_eq!(8 * halves, (2 * pixels * halved) as u64, "{what}");
            // The gradient of filters goes from registers to memory, four bytes at a time.
            let stored = if pass == "wgrad" { 0 } else { counters.global_bytes_written };
            let moved = counters.global_bytes_read + stored;
            assert!((8 * halves + 16 * wholes) * 20 >= moved * 19, "{what}");
            let conflicts = conflicts_of_fetches(&counters);
            assert!(conflicts.is_empty(), "{what}");
        }
    }
}
