use std::collections::HashMap;

use nasrl_controller::Config;
use nasrl_tensor::Cpu;
use nasrl_tensor::random::Key;

use crate::{policy, space};

/// Ranges wide enough for a distribution that is far from uniform.
fn skewed() -> Config {
    Config { initial_range: 0.6, embedding_range: 0.9, ..Config::default() }
}

#[test]
fn frequencies_are_the_probabilities() {
    const SAMPLES: usize = 40_000;
    // The value that chi-squared with 17 degrees of freedom exceeds once in 100,000 times.
    const BOUND: f64 = 52.0;
    let space = space(&[3, 2, 3]);
    let mut policy = policy(&Cpu::serial(), &space, &skewed());
    let mut counts = HashMap::new();
    for trial in 0..SAMPLES as u64 / 8 {
        for sample in policy.sample(&space, Key::new(3, trial, "test"), 0, 8).unwrap() {
            *counts.entry(sample.tokens).or_insert(0) += 1;
        }
    }
    let strings: Vec<_> = space.iter().collect();
    let scores = policy.score(&strings.iter().collect::<Vec<_>>()).unwrap();
    let mut chi_squared = 0.0;
    for (tokens, score) in strings.iter().zip(scores) {
        let expected = score.log_probability.exp() * SAMPLES as f64;
        assert!(expected > 5.0, "too rare for the test: {tokens:?}");
        let found = f64::from(*counts.get(tokens).unwrap_or(&0));
        chi_squared += (found - expected).powi(2) / expected;
    }
    assert!(chi_squared < BOUND, "chi-squared {chi_squared}");
    assert!(chi_squared > 2.0, "too regular to be random: {chi_squared}");
}

#[test]
fn a_sample_comes_with_its_own_score() {
    let space = space(&[4, 3, 2, 5]);
    let mut policy = policy(&Cpu::serial(), &space, &skewed());
    let samples = policy.sample(&space, Key::new(1, 2, "test"), 0, 9).unwrap();
    let strings: Vec<_> = samples.iter().map(|sample| &sample.tokens).collect();
    let scores = policy.score(&strings).unwrap();
    assert!(samples.iter().zip(&scores).all(|(sample, score)| sample.score == *score));
}

#[test]
fn a_draw_depends_on_its_number_alone() {
    let space = space(&[4, 3, 2, 5]);
    let mut policy = policy(&Cpu::serial(), &space, &skewed());
    let key = Key::new(1, 2, "test");
    let together = policy.sample(&space, key, 0, 12).unwrap();
    for (number, expected) in together.iter().enumerate() {
        let alone = policy.sample(&space, key, number as u32, 1).unwrap().remove(0);
        assert_eq!(alone.tokens, expected.tokens, "draw {number}");
    }
    let other = policy.sample(&space, Key::new(1, 3, "test"), 0, 12).unwrap();
    assert_ne!(together, other);
}
