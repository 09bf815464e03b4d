//! Independent bits from rows of logits, their log-probabilities and entropies, and the gradient.

use nasrl_tensor::ops::{
    BernoulliBackend, PolicyWeights, RowDraw, Rows, bernoulli_backward, bernoulli_sample,
    bernoulli_score,
};
use nasrl_tensor::random::{Key, philox4x32};
use nasrl_tensor::{DType, Element, Error, Memory, Shape, Tensor};
use nasrl_tests::{
    Inputs, Tolerance, assert_close, assert_equal, elements, finite_difference, rounded,
};

use crate::{Device, backends};

/// Sums of logarithms and exponentials, each good to a few units in the last place.
const LOGARITHM: Tolerance = Tolerance { absolute: 2e-6, relative: 2e-6 };

const DRAW: RowDraw = RowDraw { key: Key([3, 4]), first: 0, step: 7 };

fn tensor<T: Element>(backend: &Device, values: &[T], shape: [usize; 2]) -> Tensor<Device> {
    Tensor::from_slice(backend, shape, values).unwrap()
}

fn list<T: Element>(backend: &Device, values: &[T]) -> Tensor<Device> {
    Tensor::from_slice(backend, [values.len()], values).unwrap()
}

fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// Log-probability and entropy of a row.
fn score(logits: &[f64], bits: &[u32]) -> [f64; 2] {
    let mut sums = [0.0; 2];
    for (&logit, &bit) in logits.iter().zip(bits) {
        let (p, q) = (sigmoid(logit), sigmoid(-logit));
        sums[0] += if bit == 1 { p.ln() } else { q.ln() };
        sums[1] -= p * p.ln() + q * q.ln();
    }
    sums
}

#[test]
fn scores_and_gradients_agree_with_the_formulas() {
    for shape @ [count, channels] in [[1, 1], [5, 2], [24, 4], [9, 13], [3, 40]] {
        let mut inputs = Inputs::new(71);
        let logits: Vec<f32> =
            inputs.uniform(count * channels).iter().map(|logit| 9.0 * logit).collect();
        let bits = inputs.indices(count * channels, 2);
        let (w, v) = (inputs.uniform(count), inputs.uniform(count));
        let scores = |logits: &[f64]| -> Vec<[f64; 2]> {
            let rows = logits.chunks(channels).zip(bits.chunks(channels));
            rows.map(|(logits, bits)| score(logits, bits)).collect()
        };
        let expected = scores(&rounded(DType::F32, &logits));
        let gradient = finite_difference(&rounded(DType::F32, &logits), 1e-5, |logits| {
            let each = scores(logits).into_iter().zip(w.iter().zip(&v));
            each.map(|([p, h], (&w, &v))| f64::from(w) * p + f64::from(v) * h).sum()
        });
        for backend in backends() {
            let what = |part| format!("{part} of {count}x{channels} on {}", backend.name());
            let (logits, bits) = (tensor(&backend, &logits, shape), tensor(&backend, &bits, shape));
            let (p, h) = bernoulli_score(&logits, &bits).unwrap();
            let column = |column: usize| expected.iter().map(|s| s[column]).collect::<Vec<_>>();
            assert_close(&what("log p"), &p.to_vec().unwrap(), &column(0), LOGARITHM);
            assert_close(&what("entropy"), &h.to_vec().unwrap(), &column(1), LOGARITHM);
            let (w, v) = (list(&backend, &w), list(&backend, &v));
            let weights = PolicyWeights { log_probability: &w, entropy: &v };
            let d = bernoulli_backward(&logits, &bits, weights).unwrap();
            let tolerance = Tolerance::FINITE_DIFFERENCE;
            assert_close(&what("gradient"), &d.to_vec().unwrap(), &gradient, tolerance);
        }
    }
}

/// Logits so far from 0 that bits are certain, and infinitely far.
#[test]
fn certain_bits_are_exact() {
    const FAR: f32 = f32::INFINITY;
    for backend in backends() {
        let row = |values: [f32; 4]| tensor(&backend, &values, [4, 1]);
        let bits = |values: [u32; 4]| tensor(&backend, &values, [4, 1]);
        let weights = list(&backend, &[2.0f32, -3.0, 4.0, 5.0]);
        let weights = || PolicyWeights { log_probability: &weights, entropy: &weights };
        for (logits, bits, log_p, gradient) in [
            (row([300.0, -7e4, FAR, -FAR]), bits([1, 0, 1, 0]), [0.0; 4], [0.0; 4]),
            (
                row([300.0, -7e4, 5e9, -5e9]),
                bits([0, 1, 0, 1]),
                [-300.0, -7e4, -5e9, -5e9],
                [-2.0, -3.0, -4.0, 5.0],
            ),
        ] {
            let (p, h) = bernoulli_score(&logits, &bits).unwrap();
            assert_equal("log p", &p.to_vec().unwrap(), &log_p);
            assert_equal("entropy", &h.to_vec().unwrap(), &[0.0; 4]);
            let d = bernoulli_backward(&logits, &bits, weights()).unwrap();
            assert_equal("gradient", &d.to_vec().unwrap(), &gradient);
        }
        let impossible = bernoulli_score(&row([FAR, -FAR, FAR, -FAR]), &bits([0, 1, 0, 1]));
        assert_eq!(impossible.unwrap().0.to_vec::<f32>().unwrap(), [-FAR; 4]);
        let logits = row([FAR, -FAR, f32::NAN, 200.0]);
        assert_eq!(bernoulli_sample(&logits, DRAW).unwrap().to_vec::<u32>().unwrap(), [1, 0, 0, 1]);
    }
}

#[test]
fn small_probabilities_do_not_cancel() {
    let logits: Vec<f32> = (0..80).map(|i| i as f32 - 40.0).collect();
    for backend in backends() {
        let single = |values: &[f32]| tensor(&backend, values, [80, 1]);
        let relative = Tolerance { absolute: 0.0, relative: 2e-6 };
        for bit in [0u32, 1] {
            let bits = tensor(&backend, &[bit; 80], [80, 1]);
            let (p, h) = bernoulli_score(&single(&logits), &bits).unwrap();
            // ln(1 + x) in a form that is good for the smallest x, in f64.
            let tail = |logit: f32| (-f64::from(logit).abs()).exp();
            let log_p = logits.iter().map(|&logit| {
                let against = f64::from(if bit == 1 { -logit } else { logit });
                -(against.max(0.0) + tail(logit).ln_1p())
            });
            let entropy = logits.iter().map(|&logit| {
                let (x, distance) = (tail(logit), f64::from(logit).abs());
                x.ln_1p() + distance * x / (1.0 + x)
            });
            let (log_p, entropy): (Vec<_>, Vec<_>) = (log_p.collect(), entropy.collect());
            assert_close("log p", &p.to_vec().unwrap(), &log_p, relative);
            assert_close("entropy", &h.to_vec().unwrap(), &entropy, relative);
            let (one, zero) = (list(&backend, &[1.0f32; 80]), list(&backend, &[0.0f32; 80]));
            let weights = PolicyWeights { log_probability: &one, entropy: &zero };
            let d = bernoulli_backward(&single(&logits), &bits, weights).unwrap();
            let direction = |&logit: &f32| match bit {
                1 => sigmoid(-f64::from(logit)),
                _ => -sigmoid(f64::from(logit)),
            };
            let expected: Vec<f64> = logits.iter().map(direction).collect();
            assert_close("gradient", &d.to_vec().unwrap(), &expected, relative);
        }
    }
}

#[test]
fn bits_are_where_their_uniform_number_falls() {
    let mut inputs = Inputs::new(72);
    for shape @ [count, channels] in [[1, 1], [500, 2], [333, 7], [50, 100]] {
        let logits: Vec<f32> = inputs.uniform(count * channels).iter().map(|x| 3.0 * x).collect();
        let expected: Vec<u32> = (0..count * channels)
            .map(|at| {
                let (row, channel) = (at / channels, at % channels);
                let counter = [row as u32, DRAW.step, channel as u32 / 4, 1];
                let word = philox4x32(DRAW.key, counter)[channel % 4];
                let number = f64::from(word >> 8) / f64::from(1 << 24);
                u32::from(number < sigmoid(f64::from(logits[at])))
            })
            .collect();
        for backend in backends() {
            let bits = bernoulli_sample(&tensor(&backend, &logits, shape), DRAW).unwrap();
            assert_eq!(bits.to_vec::<u32>().unwrap(), expected, "{count}x{channels}");
        }
    }
}

/// A bit's neighbours in its row and the rows beside it do not matter; key and place do.
#[test]
fn bits_have_their_probabilities_and_depend_on_key_and_place_alone() {
    const COUNT: usize = 20_000;
    let row = [0.0f32, 1.0, -2.0, 3.0, -0.5, 0.25];
    let Some(device) = backends().pop() else { return };
    let sample = |draw, count: usize, row: &[f32]| {
        let logits = tensor(&device, &row.repeat(count), [count, row.len()]);
        bernoulli_sample(&logits, draw).and_then(|bits| bits.to_vec::<u32>()).unwrap()
    };
    let drawn = sample(DRAW, COUNT, &row);
    assert_eq!(drawn[..6], sample(DRAW, 1, &row));
    assert_eq!(drawn[60..72], sample(RowDraw { first: 10, ..DRAW }, 2, &row));
    let (shorter, rows) = (sample(DRAW, 100, &row[..5]), drawn.chunks(6));
    assert!(shorter.chunks(5).zip(rows).all(|(shorter, row)| shorter == &row[..5]));
    assert_ne!(drawn, sample(RowDraw { key: Key([3, 5]), ..DRAW }, COUNT, &row));
    assert_ne!(drawn, sample(RowDraw { step: 8, ..DRAW }, COUNT, &row));
    // Each of the 64 rows of bits as often as the product of its bits' probabilities says.
    let mut counts = [0.0; 64];
    for bits in drawn.chunks(6) {
        counts[bits.iter().fold(0, |number, bit| 2 * number + *bit as usize)] += 1.0;
    }
    let mut chi_squared = 0.0;
    for (number, found) in counts.into_iter().enumerate() {
        let bits = [0, 1, 2, 3, 4, 5].map(|channel| (number >> (5 - channel)) as u32 & 1);
        let expected = COUNT as f64 * score(&rounded(DType::F32, &row), &bits)[0].exp();
        chi_squared += (found - expected).powi(2) / expected;
    }
    // The 99.9 % quantile at 63 degrees of freedom; the draw is fixed by its key.
    assert!((30.0..103.4).contains(&chi_squared), "chi-squared {chi_squared}");
}

#[test]
fn rows_without_bits_have_sums_of_zero() {
    for device in backends() {
        let (logits, weights) = (tensor::<f32>(&device, &[], [3, 0]), list(&device, &[1.0f32; 3]));
        let bits = bernoulli_sample(&logits, DRAW).unwrap();
        assert_eq!(bits.shape(), [3, 0].into());
        let (p, h) = bernoulli_score(&logits, &bits).unwrap();
        assert_eq!([p, h].map(|sums| sums.to_vec::<f32>().unwrap()), [[0.0; 3]; 2]);
        let weights = PolicyWeights { log_probability: &weights, entropy: &weights };
        assert_eq!(bernoulli_backward(&logits, &bits, weights).unwrap().shape(), [3, 0].into());
    }
}

#[test]
fn buffers_may_be_longer() {
    let mut inputs = Inputs::new(73);
    let rows = Rows { count: 5, channels: 3 };
    let (logits, weights) = (inputs.uniform(15), inputs.uniform(5));
    for device in backends() {
        let floats = |values: &[f32]| {
            let mut buffer = device.zeros(DType::F32, 17).unwrap();
            device.write(values, &mut buffer).unwrap();
            buffer
        };
        let (x, w) = (floats(&logits), floats(&weights));
        let mut bits = device.zeros(DType::U32, 17).unwrap();
        let [mut p, mut h, mut d] = [(); 3].map(|()| floats(&[9.0; 17]));
        device.bernoulli_sample(rows, &x, DRAW, &mut bits).unwrap();
        device.bernoulli_score(rows, &x, &bits, &mut p, &mut h).unwrap();
        let policy = PolicyWeights { log_probability: &w, entropy: &w };
        device.bernoulli_backward(rows, &x, &bits, policy, &mut d).unwrap();

        let (x, w) = (tensor(&device, &logits, [5, 3]), list(&device, &weights));
        let exact = bernoulli_sample(&x, DRAW).unwrap();
        let scores = bernoulli_score(&x, &exact).unwrap();
        let policy = PolicyWeights { log_probability: &w, entropy: &w };
        let gradient = bernoulli_backward(&x, &exact, policy).unwrap();
        assert_eq!(
            elements::<u32, _>(&device, &bits),
            [exact.to_vec().unwrap(), vec![0; 2]].concat()
        );
        for (found, expected) in [(p, scores.0), (h, scores.1), (d, gradient)] {
            let expected = [expected.to_vec().unwrap(), vec![9.0; 17]].concat();
            assert_eq!(elements::<f32, _>(&device, &found), &expected[..17]);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let refused = |logits: &Tensor<Device>,
                   bits: &Tensor<Device>,
                   weights: [&Tensor<Device>; 2]| {
        let [log_probability, entropy] = weights;
        bernoulli_backward(logits, bits, PolicyWeights { log_probability, entropy }).unwrap_err()
    };
    let zeros = |dtype, shape: [usize; 2]| Tensor::zeros(&device, dtype, shape).unwrap();
    let (logits, bits) = (zeros(DType::F32, [2, 3]), zeros(DType::U32, [2, 3]));
    let w = list(&device, &[0.0f32; 2]);
    let two = tensor(&device, &[0u32, 1, 0, 1, 2, 0], [2, 3]);
    for error in [bernoulli_score(&logits, &two).unwrap_err(), refused(&logits, &two, [&w, &w])] {
        assert!(matches!(error, Error::Index { position: 4, found: 2, bound: 2, .. }), "{error}");
    }
    let (more, weights) = (zeros(DType::U32, [3, 2]), list(&device, &[0.0f32; 3]));
    for error in [
        bernoulli_score(&logits, &more).unwrap_err(),
        refused(&logits, &more, [&w, &w]),
        refused(&logits, &bits, [&weights, &w]),
        refused(&logits, &bits, [&w, &weights]),
    ] {
        assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
    }
    let half = zeros(DType::BF16, [2, 3]);
    let integers = list(&device, &[0u32; 2]);
    for error in [
        bernoulli_sample(&half, DRAW).unwrap_err(),
        bernoulli_score(&half, &bits).unwrap_err(),
        bernoulli_score(&logits, &logits).unwrap_err(),
        refused(&half, &bits, [&w, &w]),
        refused(&logits, &bits, [&integers, &w]),
        refused(&logits, &bits, [&w, &integers]),
    ] {
        assert!(matches!(error, Error::DType { .. }), "{error}");
    }
    let scalar = Tensor::zeros(&device, DType::F32, Shape::new(&[])).unwrap();
    let error = bernoulli_sample(&scalar, DRAW).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
}
