//! Draws from rows of logits, their log-probabilities and entropies, and the policy's gradient.

use nasrl_tensor::ops::{CategoricalBackend, PolicyWeights, RowDraw, Rows};
use nasrl_tensor::random::Key;
use nasrl_tensor::{Cpu, DType, Element, Memory};
use nasrl_tests::{Inputs, Tolerance, assert_close, backends, finite_difference};

/// A logarithm of a sum of exponentials, each good to a few units in the last place.
const LOGARITHM: Tolerance = Tolerance { absolute: 2e-6, relative: 2e-6 };

fn buffer<T: Element>(backend: &Cpu, values: &[T]) -> <Cpu as Memory>::Buffer {
    let mut buffer = backend.zeros(T::DTYPE, values.len()).unwrap();
    backend.write(values, &mut buffer).unwrap();
    buffer
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
        let wide: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
        let scores = |logits: &[f64]| -> Vec<[f64; 2]> {
            let rows = logits.chunks(channels).zip(&index);
            rows.map(|(row, &i)| [log_probabilities(row)[i as usize], entropy(row)]).collect()
        };
        let expected = scores(&wide);
        let gradient = finite_difference(&wide, 1e-5, |logits| {
            let each = scores(logits).into_iter().zip(w.iter().zip(&v));
            each.map(|([p, h], (&w, &v))| f64::from(w) * p + f64::from(v) * h).sum()
        });
        for backend in backends() {
            let what = |part| format!("{part} of {count}x{channels} on {}", backend.name());
            let rows = Rows { count, channels };
            let (logits, index) = (buffer(&backend, &logits), buffer(&backend, &index));
            let zeros = |len| backend.zeros(DType::F32, len).unwrap();
            let (mut p, mut h, mut d) = (zeros(count), zeros(count), zeros(count * channels));
            backend.categorical_score(rows, &logits, &index, &mut p, &mut h).unwrap();
            let column = |column: usize| expected.iter().map(|s| s[column]).collect::<Vec<_>>();
            assert_close(&what("log-probability"), p.slice(), &column(0), LOGARITHM);
            assert_close(&what("entropy"), h.slice(), &column(1), LOGARITHM);
            let (w, v) = (buffer(&backend, &w), buffer(&backend, &v));
            let weights = PolicyWeights { log_probability: &w, entropy: &v };
            backend.categorical_backward(rows, &logits, &index, weights, &mut d).unwrap();
            let tolerance = Tolerance::FINITE_DIFFERENCE;
            assert_close(&what("gradient"), d.slice(), &gradient, tolerance);
        }
    }
}

#[test]
fn draws_have_the_distribution_and_depend_on_key_and_place_alone() {
    const COUNT: usize = 20_000;
    let row = [0.0f32, 1.0, -1.0, 2.0];
    let backend = Cpu::serial();
    let rows = Rows { count: COUNT, channels: row.len() };
    let logits = buffer(&backend, &row.repeat(COUNT));
    let sample = |key: Key, first: u32| {
        let mut index = backend.zeros(DType::U32, COUNT).unwrap();
        let draw = RowDraw { key, first, step: 7 };
        backend.categorical_sample(rows, &logits, draw, &mut index).unwrap();
        index.slice::<u32>().to_vec()
    };
    let drawn = sample(Key([3, 4]), 0);
    assert_eq!(drawn, sample(Key([3, 4]), 0));
    assert_eq!(drawn[10..], sample(Key([3, 4]), 10)[..COUNT - 10]);
    assert_ne!(drawn, sample(Key([3, 5]), 0));
    let probabilities = log_probabilities(&row.map(f64::from));
    let chi_squared: f64 = (0..row.len())
        .map(|class| {
            let expected = COUNT as f64 * probabilities[class].exp();
            let found = drawn.iter().filter(|&&i| i as usize == class).count() as f64;
            (found - expected).powi(2) / expected
        })
        .sum();
    // The 99.9 % quantile at three degrees of freedom; the draw is fixed by its key.
    assert!(chi_squared < 16.27, "chi-squared {chi_squared}");
}
