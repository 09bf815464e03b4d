//! `y = f(gamma (x - mean) / sqrt(variance + epsilon) + beta)`, its statistics and its gradients.

use nasrl_tensor::ops::{
    Activation, BatchNorm, BatchNormBackend, Parts, Rows, Upstream, batch_norm,
    batch_norm_backward, batch_norm_inference,
};
use nasrl_tensor::{DType, Error, Memory, Tensor};
use nasrl_tests::{
    FLOATS, Inputs, Tolerance, assert_close, assert_equal, finite_difference, rounded, tensor,
    values,
};

use crate::{Device, alike, backends};

const F32: DType = DType::F32;

const ACTIVATIONS: [Option<Activation>; 4] =
    [None, Some(Activation::Relu), Some(Activation::Tanh), Some(Activation::Sigmoid)];

/// Rows and channels: one row, one channel, primes, more channels than a wide row, and enough
/// rows for several blocks of sums and several threads.
const SHAPES: [[usize; 2]; 6] = [[1, 3], [13, 1], [7, 257], [31, 64], [2111, 24], [40_009, 3]];

/// What the forward pass computes, in f64: rows of `c` values each.
struct Reference {
    y: Vec<f64>,
    means: Vec<f64>,
    variances: Vec<f64>,
}

fn apply(f: Option<Activation>, x: f64) -> f64 {
    match f {
        None => x,
        Some(Activation::Relu) => x.max(0.0),
        Some(Activation::Tanh) => x.tanh(),
        Some(Activation::Sigmoid) => 1.0 / (1.0 + (-x).exp()),
    }
}

/// Channel by channel; `parameters` are the gammas, then the betas.
fn reference(norm: &BatchNorm, x: &[f64], parameters: &[f64]) -> Reference {
    let channels = norm.channels;
    let rows = x.len() / channels;
    let mut all = Reference { y: vec![0.0; x.len()], means: vec![], variances: vec![] };
    for c in 0..channels {
        let mean = (0..rows).map(|r| x[r * channels + c]).sum::<f64>() / rows as f64;
        let square = |r: usize| (x[r * channels + c] - mean).powi(2);
        let variance = (0..rows).map(square).sum::<f64>() / rows as f64;
        let deviation = (variance + f64::from(norm.epsilon)).sqrt();
        for i in (c..x.len()).step_by(channels) {
            let normal = (x[i] - mean) / deviation;
            all.y[i] = apply(norm.activation, parameters[c] * normal + parameters[channels + c]);
        }
        all.means.push(mean);
        all.variances.push(variance);
    }
    all
}

fn fresh(backend: &Device, channels: usize) -> Tensor<Device> {
    let running: Vec<f32> = (0..2 * channels).map(|i| (i / channels) as f32).collect();
    tensor(backend, F32, [2, channels], &running)
}

/// Values normalised with statistics of f32 sums of `rows` values, and rounded to the dtype.
fn normalised(dtype: DType, rows: usize) -> Tolerance {
    let (sum, rounding) = (Tolerance::sum(F32, rows), Tolerance::rounding(dtype));
    Tolerance { absolute: sum.absolute + rounding.absolute, relative: rounding.relative }
}

#[test]
fn integers_are_exact() {
    // Two values at the same distance d from their mean m make a variance of d^2; with epsilon
    // 3 d^2 the deviation is 2 d, and with gamma 2 d the result x - m + beta.
    for backend in backends() {
        for (rows, channels) in [(2, 1), (4, 3), (64, 257), (4096, 16)] {
            let mut inputs = Inputs::new(1);
            let means = inputs.integers(channels, 9);
            let beta = inputs.integers(channels, 5);
            let d = 4.0;
            let side = |i: usize| if (i / channels).is_multiple_of(2) { d } else { -d };
            let x: Vec<f32> = (0..rows * channels).map(|i| means[i % channels] + side(i)).collect();
            let y: Vec<f64> = (0..rows * channels)
                .map(|i| f64::from(side(i) + beta[i % channels]).max(0.0))
                .collect();
            let norm = BatchNorm {
                epsilon: 3.0 * d * d,
                momentum: 0.5,
                activation: Some(Activation::Relu),
                channels,
            };
            let gammas = vec![2.0 * d; channels];
            let parameters = tensor(&backend, F32, [2, channels], &[gammas, beta].concat());
            for dtype in FLOATS {
                let what = format!("{dtype} [{rows}, {channels}] on {}", backend.name());
                let x = tensor(&backend, dtype, [rows, channels], &x);
                let mut running = fresh(&backend, channels);
                let (found, _) = batch_norm(&norm, &x, &parameters, &mut running).unwrap();
                assert_equal(&what, &values(&found), &y);
                let statistics: Vec<f64> = means
                    .iter()
                    .map(|mean| 0.5 * f64::from(*mean))
                    .chain((0..channels).map(|_| 0.5 + 0.5 * f64::from(d * d)))
                    .collect();
                assert_equal(&format!("{what}: running"), &values(&running), &statistics);
            }
        }
    }
}

#[test]
fn random_values_are_within_rounding() {
    for backend in backends() {
        for [rows, channels] in SHAPES {
            let mut inputs = Inputs::new(2);
            let x = inputs.uniform(rows * channels);
            let parameters = inputs.uniform(2 * channels);
            for dtype in FLOATS {
                for activation in ACTIVATIONS {
                    let norm = BatchNorm { activation, epsilon: 1e-2, ..BatchNorm::new(channels) };
                    let what = format!(
                        "{dtype} [{rows}, {channels}] {activation:?} on {}",
                        backend.name()
                    );
                    let expected =
                        reference(&norm, &rounded(dtype, &x), &rounded(F32, &parameters));
                    let x = tensor(&backend, dtype, [rows, channels], &x);
                    let parameters = tensor(&backend, F32, [2, channels], &parameters);
                    let mut running = fresh(&backend, channels);
                    let (y, _) = batch_norm(&norm, &x, &parameters, &mut running).unwrap();
                    assert_close(&what, &values(&y), &expected.y, normalised(dtype, rows));
                    let means = expected.means.iter().map(|mean| 0.1 * mean);
                    let variances = expected.variances.iter().map(|variance| 0.9 + 0.1 * variance);
                    let statistics: Vec<f64> = means.chain(variances).collect();
                    let tolerance = Tolerance::sum(F32, rows);
                    assert_close(&what, &values(&running), &statistics, tolerance);
                }
            }
        }
    }
}

#[test]
fn inference_uses_the_running_statistics() {
    for backend in backends() {
        for dtype in FLOATS {
            let (rows, channels) = (11, 5);
            let mut inputs = Inputs::new(3);
            let x = inputs.uniform(rows * channels);
            let parameters = inputs.uniform(2 * channels);
            let running: Vec<f32> = inputs.uniform(2 * channels).iter().map(|v| v.abs()).collect();
            for activation in ACTIVATIONS {
                let norm = BatchNorm { activation, ..BatchNorm::new(channels) };
                let x64 = rounded(dtype, &x);
                let expected: Vec<f64> = (0..rows * channels)
                    .map(|i| {
                        let c = i % channels;
                        let [mean, variance] = [c, channels + c].map(|i| f64::from(running[i]));
                        let [gamma, beta] = [c, channels + c].map(|i| f64::from(parameters[i]));
                        let deviation = (variance + f64::from(norm.epsilon)).sqrt();
                        apply(activation, gamma * (x64[i] - mean) / deviation + beta)
                    })
                    .collect();
                let what = format!("{dtype} {activation:?} on {}", backend.name());
                let y = batch_norm_inference(
                    &norm,
                    &tensor(&backend, dtype, [rows, channels], &x),
                    &tensor(&backend, F32, [2, channels], &parameters),
                    &tensor(&backend, F32, [2, channels], &running),
                );
                let tolerance = Tolerance::rounding(dtype);
                assert_close(&what, &values(&y.unwrap()), &expected, tolerance);
            }
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for backend in backends() {
        for (rows, channels) in [(1, 2), (19, 3), (5, 16)] {
            for activation in ACTIVATIONS {
                let norm = BatchNorm { activation, epsilon: 1e-2, ..BatchNorm::new(channels) };
                let mut inputs = Inputs::new(4);
                let x = inputs.uniform(rows * channels);
                let dy = inputs.uniform(rows * channels);
                let parameters = inputs.uniform(2 * channels);
                let [x64, dy64, parameters64] = [&x, &dy, &parameters].map(|v| rounded(F32, v));
                let loss = |x: &[f64], parameters: &[f64]| -> f64 {
                    let y = reference(&norm, x, parameters).y;
                    y.iter().zip(&dy64).map(|(y, dy)| y * dy).sum()
                };
                let of_x = finite_difference(&x64, 1e-5, |x| loss(x, &parameters64));
                let of_parameters =
                    finite_difference(&parameters64, 1e-5, |parameters| loss(&x64, parameters));
                let x = tensor(&backend, F32, [rows, channels], &x);
                let dy = tensor(&backend, F32, [rows, channels], &dy);
                let parameters = tensor(&backend, F32, [2, channels], &parameters);
                let mut running = fresh(&backend, channels);
                let (_, normalizer) = batch_norm(&norm, &x, &parameters, &mut running).unwrap();
                let (dx, gradients) = batch_norm_backward(&norm, &x, &dy, &normalizer).unwrap();
                let what = format!("[{rows}, {channels}] {activation:?} on {}", backend.name());
                let tolerance = Tolerance::FINITE_DIFFERENCE;
                assert_close(&format!("{what}: dx"), &values(&dx), &of_x, tolerance);
                let what = format!("{what}: parameters");
                assert_close(&what, &values(&gradients), &of_parameters, tolerance);
            }
        }
    }
}

#[test]
fn half_precision_gradients_are_those_of_f32_rounded() {
    let (rows, channels) = (2111, 24);
    let norm = BatchNorm { activation: Some(Activation::Relu), ..BatchNorm::new(channels) };
    let mut inputs = Inputs::new(5);
    let x = inputs.uniform(rows * channels);
    let dy = inputs.uniform(rows * channels);
    let parameters = inputs.uniform(2 * channels);
    for backend in backends() {
        for dtype in [DType::BF16, DType::F16] {
            let x = tensor(&backend, dtype, [rows, channels], &x);
            let dy = tensor(&backend, dtype, [rows, channels], &dy);
            let parameters = tensor(&backend, F32, [2, channels], &parameters);
            let gradients = |x: &Tensor<Device>, dy: &Tensor<Device>| {
                let mut running = fresh(&backend, channels);
                let (_, normalizer) = batch_norm(&norm, x, &parameters, &mut running).unwrap();
                batch_norm_backward(&norm, x, dy, &normalizer).unwrap()
            };
            let (dx, of_parameters) = gradients(&x, &dy);
            let (exact, same) = gradients(&x.cast(F32).unwrap(), &dy.cast(F32).unwrap());
            let exact = exact.cast(dtype).unwrap();
            let what = format!("{dtype} on {}", backend.name());
            assert_eq!(dx.dtype(), dtype);
            assert_equal(&what, &values(&dx), &rounded(F32, &values(&exact)));
            assert_equal(&what, &values(&of_parameters), &rounded(F32, &values(&same)));
        }
    }
}

#[test]
fn a_large_mean_does_not_swallow_the_variance() {
    let (rows, channels) = (4001, 7);
    let norm = BatchNorm::new(channels);
    let x: Vec<f32> =
        Inputs::new(6).uniform(rows * channels).iter().map(|x| 1000.0 + x / 8.0).collect();
    for backend in backends() {
        let expected = reference(&norm, &rounded(F32, &x), &vec![1.0; 2 * channels]);
        let x = tensor(&backend, F32, [rows, channels], &x);
        let parameters = tensor(&backend, F32, [2, channels], &vec![1.0; 2 * channels]);
        let mut running = tensor(&backend, F32, [2, channels], &vec![0.0; 2 * channels]);
        let norm = BatchNorm { momentum: 0.0, ..norm };
        batch_norm(&norm, &x, &parameters, &mut running).unwrap();
        let variances = &values(&running)[channels..];
        let what = format!("variances on {}", backend.name());
        // The inputs' own spacing at 1000, 6e-5, is 1e-3 of their deviation; a difference of sums
        // of squares in f32 would be off by more than the variance itself.
        let tolerance = Tolerance { absolute: 0.0, relative: 1e-5 };
        assert_close(&what, variances, &expected.variances, tolerance);
    }
}

#[test]
fn blocks_of_rows_make_the_whole_batch() {
    let (channels, blocks) = (5, [1, 700, 13, 301]);
    let rows: usize = blocks.iter().sum();
    let mut inputs = Inputs::new(7);
    let x = inputs.uniform(rows * channels);
    let dy = inputs.uniform(rows * channels);
    let parameters = inputs.uniform(2 * channels);
    let norm = BatchNorm { activation: Some(Activation::Relu), ..BatchNorm::new(channels) };
    for backend in backends() {
        let what = |of: &str| format!("{of} on {}", backend.name());
        let parameters = tensor(&backend, F32, [2, channels], &parameters);
        let [whole_x, whole_dy] = [&x, &dy].map(|v| tensor(&backend, F32, [rows, channels], v));
        let mut whole_running = fresh(&backend, channels);
        let (y, whole_normalizer) =
            batch_norm(&norm, &whole_x, &parameters, &mut whole_running).unwrap();
        let (dx, whole_gradients) =
            batch_norm_backward(&norm, &whole_x, &whole_dy, &whole_normalizer).unwrap();

        // Buffers are longer than what they hold, as those of a compiled program are.
        let zeros = |length: usize| backend.zeros(F32, length + 3).unwrap();
        let block = |values: &[f32], start: usize, rows: usize| {
            let mut buffer = zeros(rows * channels);
            backend.write(&values[start * channels..][..rows * channels], &mut buffer).unwrap();
            buffer
        };
        let read = |buffer: &<Device as Memory>::Buffer, length: usize| {
            let mut values = vec![0.0; length];
            backend.read(buffer, &mut values).unwrap();
            values
        };
        let starts: Vec<usize> =
            (0..blocks.len()).map(|i| blocks[..i].iter().sum::<usize>()).collect();
        let of = |count| Rows { count, channels };
        let xs: Vec<_> = starts.iter().zip(blocks).map(|(&s, rows)| block(&x, s, rows)).collect();
        let dys: Vec<_> = starts.iter().zip(blocks).map(|(&s, rows)| block(&dy, s, rows)).collect();

        let moments: Vec<_> = (xs.iter().zip(blocks))
            .map(|(x, rows)| {
                let mut moments = zeros(3 * channels);
                backend.batch_norm_moments(of(rows), x, &mut moments).unwrap();
                moments
            })
            .collect();
        let part = |buffer| Parts { count: 1, buffer };
        let parts: Vec<_> = moments.iter().map(part).collect();
        let mut running = fresh(&backend, channels);
        let mut normalizer = zeros(4 * channels);
        let on_running = running.buffer_mut().unwrap();
        backend
            .batch_norm_normalizer(&norm, &parts, parameters.buffer(), on_running, &mut normalizer)
            .unwrap();
        let tolerance = normalised(F32, rows);
        let expected = rounded(F32, &values(&whole_running));
        assert_close(&what("running"), &values(&running), &expected, tolerance);

        let relu = norm.activation;
        let mut found = vec![];
        let mut sums = vec![];
        for ((x, dy), rows) in xs.iter().zip(&dys).zip(blocks) {
            let mut y = zeros(rows * channels);
            backend.batch_norm_apply(relu, of(rows), x, &normalizer, &mut y).unwrap();
            found.extend(read(&y, rows * channels));
            let mut sum = zeros(2 * channels);
            let upstream = Upstream { activation: relu, x, dy };
            backend.batch_norm_backward_sums(of(rows), &upstream, &normalizer, &mut sum).unwrap();
            sums.push(sum);
        }
        assert_close(&what("y"), &found, &rounded(F32, &values(&y)), tolerance);

        let (mut gradients, mut coefficients) = (zeros(2 * channels), zeros(4 * channels));
        let sums: Vec<_> = sums.iter().map(part).collect();
        backend
            .batch_norm_coefficients(
                of(rows),
                &sums,
                &normalizer,
                &mut gradients,
                &mut coefficients,
            )
            .unwrap();
        let sum = Tolerance { relative: 1e-5, ..Tolerance::sum(F32, rows) };
        let expected = rounded(F32, &values(&whole_gradients));
        assert_close(&what("parameters"), &read(&gradients, 2 * channels), &expected, sum);
        let mut found = vec![];
        for ((x, dy), rows) in xs.iter().zip(&dys).zip(blocks) {
            let upstream = Upstream { activation: relu, x, dy };
            let mut dx = zeros(rows * channels);
            backend.batch_norm_backward_apply(of(rows), &upstream, &coefficients, &mut dx).unwrap();
            found.extend(read(&dx, rows * channels));
        }
        assert_close(&what("dx"), &found, &rounded(F32, &values(&dx)), tolerance);
    }
}

#[test]
fn backends_that_are_alike_give_the_same_bits() {
    let (rows, channels) = (20_011, 7);
    let mut inputs = Inputs::new(8);
    let (x, dy) = (inputs.uniform(rows * channels), inputs.uniform(rows * channels));
    let norm = BatchNorm { activation: Some(Activation::Relu), ..BatchNorm::new(channels) };
    let results = |on: &Device| {
        let [x, dy] = [&x, &dy].map(|v| tensor(on, F32, [rows, channels], v));
        let parameters = tensor(on, F32, [2, channels], &[0.5; 14]);
        let mut running = fresh(on, channels);
        let (y, normalizer) = batch_norm(&norm, &x, &parameters, &mut running).unwrap();
        let (dx, gradients) = batch_norm_backward(&norm, &x, &dy, &normalizer).unwrap();
        [y, running, dx, gradients].map(|tensor| values(&tensor))
    };
    let results: Vec<_> = alike().iter().map(results).collect();
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let zeros = |dtype, shape: [usize; 2]| Tensor::zeros(&device, dtype, shape).unwrap();
    let norm = BatchNorm::new(3);
    let refused = |norm: BatchNorm, x: &Tensor<Device>, parameters: &Tensor<Device>| {
        batch_norm(&norm, x, parameters, &mut zeros(F32, [2, 3])).unwrap_err()
    };
    let (x, parameters) = (zeros(DType::BF16, [4, 3]), zeros(F32, [2, 3]));
    let wide = zeros(F32, [4, 4]);
    assert!(matches!(refused(norm, &wide, &parameters), Error::Shape { .. }));
    assert!(matches!(refused(norm, &zeros(F32, [0, 3]), &parameters), Error::Shape { .. }));
    assert!(matches!(refused(norm, &zeros(DType::U8, [4, 3]), &parameters), Error::DType { .. }));
    assert!(matches!(refused(norm, &x, &zeros(F32, [3, 2])), Error::ShapeMismatch { .. }));
    assert!(matches!(refused(norm, &x, &zeros(DType::BF16, [2, 3])), Error::DType { .. }));
    for epsilon in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let norm = BatchNorm { epsilon, ..norm };
        assert!(matches!(refused(norm, &x, &parameters), Error::Parameter { .. }));
    }
    for momentum in [-0.1, 1.1, f32::NAN] {
        let norm = BatchNorm { momentum, ..norm };
        assert!(matches!(refused(norm, &x, &parameters), Error::Parameter { .. }));
    }
    let backward = |dy: &Tensor<Device>, normalizer: &Tensor<Device>| {
        batch_norm_backward(&norm, &x, dy, normalizer).unwrap_err()
    };
    let normalizer = zeros(F32, [4, 3]);
    assert!(matches!(backward(&zeros(F32, [4, 3]), &normalizer), Error::DType { .. }));
    let short = zeros(DType::BF16, [3, 3]);
    assert!(matches!(backward(&short, &normalizer), Error::ShapeMismatch { .. }));
    assert!(matches!(backward(&x, &parameters), Error::ShapeMismatch { .. }));
}
