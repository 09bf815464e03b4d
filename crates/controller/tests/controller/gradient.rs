use nasrl_controller::{Config, Error, Policy, Sharing, Term};
use nasrl_space::{Space, Tokens};
use nasrl_tensor::Cpu;
use nasrl_tests::{Tolerance, assert_close, backends, finite_difference};

use crate::reference::Reference;
use crate::{policy, skips, space, tokens};

/// A network that is far from its start, where every gradient would be small.
fn network(layers: usize, units: usize, embedding: usize, embedding_sharing: Sharing) -> Config {
    Config {
        layers,
        units,
        embedding,
        embedding_sharing,
        initial_range: 0.7,
        embedding_range: 0.9,
        ..Config::default()
    }
}

/// Networks that differ in everything that the gradient depends on; widths that fill no vector and
/// widths that overflow one.
fn networks() -> Vec<(Vec<usize>, Config)> {
    vec![
        (vec![3], network(1, 2, 3, Sharing::None)),
        (vec![2, 4, 3, 4, 4], network(1, 3, 5, Sharing::None)),
        (vec![2, 4, 3, 4, 4], network(2, 5, 2, Sharing::Kind)),
        (vec![3, 17, 3], network(3, 5, 4, Sharing::Kind)),
        (vec![2, 1, 2], network(2, 17, 3, Sharing::None)),
    ]
}

fn flat(named: Vec<(&str, Vec<f32>)>) -> Vec<f32> {
    named.into_iter().flat_map(|(_, values)| values).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Compares the gradient of a sum of terms, one for each string, with finite differences.
#[track_caller]
fn check_gradient(space: &Space, config: &Config, strings: &[Tokens]) {
    const WEIGHTS: [(f64, f64); 4] = [(1.0, 0.0), (-0.5, 0.25), (0.0, -1.0), (0.75, 0.5)];
    let reference = Reference::new(space, config);
    let weighted = || strings.iter().zip(WEIGHTS.into_iter().cycle());
    let objective = |parameters: &[f64]| -> f64 {
        let terms = weighted().map(|(tokens, (w, v))| {
            let (log_probability, entropy) = reference.score(parameters, tokens.as_slice());
            w * log_probability + v * entropy
        });
        terms.sum()
    };
    let deepest = tokens(space, &vec![0; space.decisions().len()]);
    let parameters = flat(policy(&Cpu::serial(), space, config).parameters().unwrap());
    let expected = finite_difference(&wide(&parameters), 1e-5, objective);
    for backend in backends() {
        let mut policy = policy(&backend, space, config);
        assert_eq!(flat(policy.parameters().unwrap()), parameters);
        let term = |(tokens, (log_probability, entropy))| Term { tokens, log_probability, entropy };
        let terms: Vec<_> = weighted().map(term).collect();
        // Twice, since gradients must not pile up, with all steps in between.
        for _ in 0..2 {
            policy.gradient(&terms).unwrap();
            let found = flat(policy.gradients().unwrap());
            let what = format!("{} {config:?} on {backend:?}", space.name());
            assert_close(&what, &found, &expected, Tolerance::FINITE_DIFFERENCE);
            policy.gradient(&[Term { tokens: &deepest, ..terms[0] }]).unwrap();
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for (choices, config) in networks() {
        let space = space(&choices);
        // The last string repeats the first, as merged and unmerged draws of a queue do.
        let string = |seed: u16| {
            let index = |(step, &count): (usize, &usize)| (step as u16 * 3 + seed) % count as u16;
            tokens(&space, &choices.iter().enumerate().map(index).collect::<Vec<_>>())
        };
        check_gradient(&space, &config, &[0, 1, 2, 0].map(string));
    }
}

/// Strings of the same and of different depths, with and without skips, of layers that differ in
/// what is decided.
#[test]
fn gradients_through_anchors_are_those_of_finite_differences() {
    let batches: [&[&str]; 4] = [
        &["conv,1 / conv,3,1 / max_pool,2,11", "max_pool,4 / conv,1,0 / conv,3,00"],
        &["conv,1 / conv,3,1", "max_pool,3 / max_pool,2,1 / conv,1,10", "conv,3 / max_pool,4,0"],
        &["max_pool,3 / conv,1,1"],
        &["max_pool,2 / conv,1,0 / max_pool,3,01"],
    ];
    let space = skips(3);
    for config in [
        network(1, 3, 5, Sharing::None),
        network(2, 5, 2, Sharing::Kind),
        network(1, 17, 3, Sharing::Kind),
    ] {
        for batch in batches {
            let strings: Vec<Tokens> = batch.iter().map(|s| space.parse(s).unwrap()).collect();
            check_gradient(&space, &config, &strings);
        }
    }
}

#[test]
fn scores_and_distributions_are_those_of_the_reference() {
    for (choices, config) in networks() {
        check_scores(&space(&choices), &config);
    }
    let config = network(2, 5, 3, Sharing::None);
    check_scores(&skips(3), &config);
}

/// Compares all strings of a space, by depth, and adds up their probabilities.
#[track_caller]
fn check_scores(space: &Space, config: &Config) {
    let reference = Reference::new(space, config);
    let tolerance = Tolerance::FINITE_DIFFERENCE;
    for backend in backends() {
        let mut policy = policy(&backend, space, config);
        let parameters = wide(&flat(policy.parameters().unwrap()));
        for depth in space.depths() {
            let strings: Vec<_> = space.at_depth(depth).unwrap().iter().collect();
            let scores = policy.score(&strings.iter().collect::<Vec<_>>()).unwrap();
            let mut total = 0.0;
            for (tokens, score) in strings.iter().zip(scores) {
                let (log_probability, entropy) = reference.score(&parameters, tokens.as_slice());
                let found = [score.log_probability as f32, score.entropy as f32];
                let what = format!("{} at {depth}, {tokens:?}", space.name());
                assert_close(&what, &found, &[log_probability, entropy], tolerance);
                total += score.log_probability.exp();
            }
            assert!((total - 1.0).abs() < 1e-5, "{}: {total} in all", space.name());
            for tokens in [strings.first(), strings.last()].into_iter().flatten() {
                let expected = reference.distributions(&parameters, tokens.as_slice());
                let found = policy.distributions(tokens).unwrap();
                assert_eq!(found.len(), tokens.len());
                for (found, expected) in found.iter().zip(expected) {
                    let found: Vec<f32> = found.iter().map(|p| *p as f32).collect();
                    assert_close("distribution", &found, &expected, tolerance);
                }
            }
        }
    }
}

#[test]
fn a_policy_of_zeros_is_uniform() {
    let config = Config { initial_range: 0.0, embedding_range: 0.0, ..Config::default() };
    let space = space(&[2, 4, 8]);
    let mut uniform = policy(&Cpu::serial(), &space, &config);
    let distributions = uniform.distributions(&tokens(&space, &[1, 3, 5])).unwrap();
    assert_eq!(distributions, [vec![0.5; 2], vec![0.25; 4], vec![0.125; 8]]);

    let space = skips(3);
    let tokens = space.parse("conv,3 / max_pool,2,1").unwrap();
    let distributions = policy(&Cpu::serial(), &space, &config).distributions(&tokens).unwrap();
    let (half, certain) = (vec![0.5; 2], vec![1.0, 0.0, 0.0]);
    let [first, second] =
        [[half.clone(), half.clone(), certain], [half.clone(), vec![1.0, 0.0], vec![1.0 / 3.0; 3]]];
    assert_eq!(distributions, [first.as_slice(), &second, &[half]].concat());
}

#[test]
fn tokens_of_another_space_are_refused() {
    let (own, other) = (space(&[2, 3]), space(&[2, 4]));
    let mut policy: Policy<Cpu> = policy(&Cpu::serial(), &own, &Config::default());
    let foreign = tokens(&other, &[1, 3]);
    for found in [tokens(&space(&[2]), &[1]), foreign] {
        assert!(matches!(policy.score(&[&found]), Err(Error::Tokens { .. })), "{found:?}");
    }
}
