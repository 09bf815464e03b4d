//! Draws from rows of logits, their log-probabilities and entropies, and the policy's gradient.

use nasrl_tensor::ops::{
    CategoricalBackend, PolicyWeights, RowDraw, Rows, categorical_backward, categorical_sample,
    categorical_score,
};
use nasrl_tensor::random::{Key, philox4x32};
use nasrl_tensor::{DType, Element, Error, Memory, Tensor};
use nasrl_tests::{
    Inputs, Tolerance, assert_close, assert_equal, elements, finite_difference, rounded,
};

use crate::{Device, backends};

/// A logarithm of a sum of exponentials, each good to a few units in the last place.
const LOGARITHM: Tolerance = Tolerance { absolute: 2e-6, relative: 2e-6 };

const DRAW: RowDraw = RowDraw { key: Key([3, 4]), first: 0, step: 7 };

fn tensor<T: Element>(backend: &Device, values: &[T], channels: usize) -> Tensor<Device> {
    Tensor::from_slice(backend, [values.len() / channels, channels], values).unwrap()
}

fn list<T: Element>(backend: &Device, values: &[T]) -> Tensor<Device> {
    Tensor::from_slice(backend, [values.len()], values).unwrap()
}

fn log_probabilities(row: &[f64]) -> Vec<f64> {
    let sum: f64 = row.iter().map(|logit| logit.exp()).sum();
    row.iter().map(|logit| logit - sum.ln()).collect()
}

fn entropy(row: &[f64]) -> f64 {
    -log_probabilities(row).iter().map(|log_p| log_p.exp() * log_p).sum::<f64>()
}

#[test]
fn scores_and_gradients_agree_with_the_formulas() {
    for (count, channels) in [(1, 1), (5, 2), (24, 4), (9, 13)] {
        let mut inputs = Inputs::new(61);
        let logits: Vec<f32> =
            inputs.uniform(count * channels).iter().map(|logit| 4.0 * logit).collect();
        let index = inputs.indices(count, channels);
        let (w, v) = (inputs.uniform(count), inputs.uniform(count));
        let scores = |logits: &[f64]| -> Vec<[f64; 2]> {
            let rows = logits.chunks(channels).zip(&index);
            rows.map(|(row, &i)| [log_probabilities(row)[i as usize], entropy(row)]).collect()
        };
        let expected = scores(&rounded(DType::F32, &logits));
        let gradient = finite_difference(&rounded(DType::F32, &logits), 1e-5, |logits| {
            let each = scores(logits).into_iter().zip(w.iter().zip(&v));
            each.map(|([p, h], (&w, &v))| f64::from(w) * p + f64::from(v) * h).sum()
        });
        for backend in backends() {
            let what = |part| format!("{part} of {count}x{channels} on {}", backend.name());
            let (logits, index) = (tensor(&backend, &logits, channels), list(&backend, &index));
            let (p, h) = categorical_score(&logits, &index).unwrap();
            let column = |column: usize| expected.iter().map(|s| s[column]).collect::<Vec<_>>();
            assert_close(&what("log p"), &p.to_vec().unwrap(), &column(0), LOGARITHM);
            assert_close(&what("entropy"), &h.to_vec().unwrap(), &column(1), LOGARITHM);
            let (w, v) = (list(&backend, &w), list(&backend, &v));
            let weights = PolicyWeights { log_probability: &w, entropy: &v };
            let d = categorical_backward(&logits, &index, weights).unwrap();
            let tolerance = Tolerance::FINITE_DIFFERENCE;
            assert_close(&what("gradient"), &d.to_vec().unwrap(), &gradient, tolerance);
        }
    }
}

/// Logits so far apart that probabilities are 0 or 1, and impossible values.
#[test]
fn certain_values_are_exact() {
    const NEVER: f32 = f32::NEG_INFINITY;
    for backend in backends() {
        let logits = tensor(&backend, &[300.0, 0.0, NEVER, NEVER, -7e4, 7e4, NEVER, 5.0, NEVER], 3);
        let index = list(&backend, &[0u32, 1, 1]);
        let (p, h) = categorical_score(&logits, &index).unwrap();
        assert_equal("log p", &p.to_vec().unwrap(), &[0.0, -14e4, 0.0]);
        assert_equal("entropy", &h.to_vec().unwrap(), &[0.0; 3]);
        let (w, v) = (list(&backend, &[2.0f32, -3.0, 4.0]), list(&backend, &[5.0f32, 6.0, 7.0]));
        let weights = PolicyWeights { log_probability: &w, entropy: &v };
        let d = categorical_backward(&logits, &index, weights).unwrap();
        let expected = [0.0, 0.0, 0.0, 0.0, -3.0, 3.0, 0.0, 0.0, 0.0];
        assert_equal("gradient", &d.to_vec().unwrap(), &expected);
    }
}

#[test]
fn draws_are_where_the_uniform_number_falls() {
    let mut inputs = Inputs::new(62);
    for (count, channels) in [(1, 1), (500, 2), (333, 7), (50, 100)] {
        let logits = inputs.uniform(count * channels);
        let expected = rounded(DType::F32, &logits);
        let expected = expected.chunks(channels).enumerate().map(|(row, logits)| {
            let word = philox4x32(DRAW.key, [row as u32, DRAW.step, 0, 0])[0];
            let mut left = f64::from(word >> 8) / f64::from(1 << 24);
            let within = |log_p: &f64| {
                left -= log_p.exp();
                left < 0.0
            };
            log_probabilities(logits).iter().position(within).unwrap() as u32
        });
        let expected: Vec<u32> = expected.collect();
        for backend in backends() {
            let index = categorical_sample(&tensor(&backend, &logits, channels), DRAW).unwrap();
            assert_eq!(index.to_vec::<u32>().unwrap(), expected, "{count}x{channels}");
        }
    }
}

#[test]
fn draws_have_the_distribution_and_depend_on_key_and_place_alone() {
    const COUNT: usize = 20_000;
    let row = [0.0f32, 1.0, f32::NEG_INFINITY, -1.0, 2.0, f32::NEG_INFINITY];
    let Some(device) = backends().pop() else { return };
    let logits = tensor(&device, &row.repeat(COUNT), row.len());
    let sample =
        |draw| categorical_sample(&logits, draw).and_then(|index| index.to_vec::<u32>()).unwrap();
    let drawn = sample(DRAW);
    assert_eq!(drawn, sample(DRAW));
    assert_eq!(drawn[10..], sample(RowDraw { first: 10, ..DRAW })[..COUNT - 10]);
    assert_ne!(drawn, sample(RowDraw { key: Key([3, 5]), ..DRAW }));
    assert_ne!(drawn, sample(RowDraw { step: 8, ..DRAW }));
    let probabilities = log_probabilities(&row.map(f64::from));
    let mut chi_squared = 0.0;
    for (value, log_p) in probabilities.iter().enumerate() {
        let found = drawn.iter().filter(|&&i| i as usize == value).count() as f64;
        let expected = COUNT as f64 * log_p.exp();
        if expected == 0.0 {
            assert_eq!(found, 0.0, "an impossible value");
        } else {
            chi_squared += (found - expected).powi(2) / expected;
        }
    }
    // The 99.9 % quantile at three degrees of freedom; the draw is fixed by its key.
    assert!(chi_squared < 16.27, "chi-squared {chi_squared}");
}

#[test]
fn buffers_may_be_longer() {
    let mut inputs = Inputs::new(63);
    let rows = Rows { count: 5, channels: 3 };
    let (logits, weights) = (inputs.uniform(15), inputs.uniform(5));
    for device in backends() {
        let floats = |values: &[f32]| {
            let mut buffer = device.zeros(DType::F32, 17).unwrap();
            device.write(values, &mut buffer).unwrap();
            buffer
        };
        let (x, w) = (floats(&logits), floats(&weights));
        let mut index = device.zeros(DType::U32, 17).unwrap();
        let [mut p, mut h, mut d] = [(); 3].map(|()| floats(&[9.0; 17]));
        device.categorical_sample(rows, &x, DRAW, &mut index).unwrap();
        device.categorical_score(rows, &x, &index, &mut p, &mut h).unwrap();
        let policy = PolicyWeights { log_probability: &w, entropy: &w };
        device.categorical_backward(rows, &x, &index, policy, &mut d).unwrap();

        let (x, w) = (tensor(&device, &logits, 3), list(&device, &weights));
        let exact = categorical_sample(&x, DRAW).unwrap();
        let scores = categorical_score(&x, &exact).unwrap();
        let policy = PolicyWeights { log_probability: &w, entropy: &w };
        let gradient = categorical_backward(&x, &exact, policy).unwrap();
        assert_eq!(elements::<u32, _>(&device, &index)[..5], exact.to_vec::<u32>().unwrap());
        for (found, expected) in [(p, scores.0), (h, scores.1), (d, gradient)] {
            let expected = [expected.to_vec().unwrap(), vec![9.0; 17]].concat();
            assert_eq!(elements::<f32, _>(&device, &found), &expected[..17]);
        }
    }
}

#[test]
fn the_outer_dimensions_are_kept() {
    let Some(device) = backends().pop() else { return };
    let logits = Tensor::zeros(&device, DType::F32, [2, 3, 4]).unwrap();
    let index = categorical_sample(&logits, DRAW).unwrap();
    assert_eq!(index.shape(), [2, 3].into());
    let (p, h) = categorical_score(&logits, &index).unwrap();
    assert_eq!([p.shape(), h.shape()], [[2, 3].into(); 2]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = backends().pop() else { return };
    let refused = |logits: &Tensor<Device>,
                   index: &Tensor<Device>,
                   weights: [&Tensor<Device>; 2]| {
        let [log_probability, entropy] = weights;
        categorical_backward(logits, index, PolicyWeights { log_probability, entropy }).unwrap_err()
    };
    let zeros = |dtype, shape: [usize; 2]| Tensor::zeros(&device, dtype, shape).unwrap();
    let (logits, index, w) =
        (zeros(DType::F32, [2, 3]), list(&device, &[0u32, 2]), list(&device, &[0.0f32; 2]));
    let (beyond, more) = (list(&device, &[0u32, 3]), list(&device, &[0u32; 3]));
    for error in
        [categorical_score(&logits, &beyond).unwrap_err(), refused(&logits, &beyond, [&w, &w])]
    {
        assert!(matches!(error, Error::Index { position: 1, found: 3, bound: 3, .. }), "{error}");
    }
    let weights = list(&device, &[0.0f32; 3]);
    for error in [
        categorical_score(&logits, &more).unwrap_err(),
        refused(&logits, &more, [&w, &w]),
        refused(&logits, &index, [&weights, &w]),
        refused(&logits, &index, [&w, &weights]),
    ] {
        assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
    }
    let half = zeros(DType::BF16, [2, 3]);
    for error in [
        categorical_sample(&half, DRAW).unwrap_err(),
        categorical_score(&half, &index).unwrap_err(),
        categorical_score(&logits, &w).unwrap_err(),
        refused(&half, &index, [&w, &w]),
        refused(&logits, &index, [&index, &w]),
        refused(&logits, &index, [&w, &index]),
    ] {
        assert!(matches!(error, Error::DType { .. }), "{error}");
    }
    let none = zeros(DType::F32, [2, 0]);
    for error in [
        categorical_sample(&none, DRAW).unwrap_err(),
        categorical_score(&none, &index).unwrap_err(),
        refused(&none, &index, [&w, &w]),
    ] {
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    }
}
