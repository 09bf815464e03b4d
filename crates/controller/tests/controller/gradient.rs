use nasrl_controller::{Config, Error, Policy, Sharing, Term};
use nasrl_tensor::Cpu;
use nasrl_tests::{Tolerance, assert_close, backends, finite_difference};

use crate::reference::Reference;
use crate::{policy, space, tokens};

/// Networks that differ in everything that the gradient depends on; widths that fill no vector and
/// widths that overflow one.
fn networks() -> Vec<(Vec<usize>, Config)> {
    let network = |layers, units, embedding, embedding_sharing| Config {
        layers,
        units,
        embedding,
        embedding_sharing,
        initial_range: 0.7,
        embedding_range: 0.9,
        ..Config::default()
    };
    vec![
        (vec![3], network(1, 2, 3, Sharing::None)),
        (vec![2, 4, 3, 4, 4], network(1, 3, 5, Sharing::None)),
        (vec![2, 4, 3, 4, 4], network(2, 5, 2, Sharing::Kind)),
        (vec![3, 17, 3], network(3, 5, 4, Sharing::Kind)),
        (vec![2, 1, 2], network(2, 17, 3, Sharing::None)),
    ]
}

fn flat(named: Vec<(&str, Vec<f32>)>) -> Vec<f64> {
    named.into_iter().flat_map(|(_, values)| values).map(f64::from).collect()
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for (choices, config) in networks() {
        let space = space(&choices);
        let reference = Reference::new(&space, &config);
        // The last string repeats the first, as merged and unmerged draws of a queue do.
        let strings: Vec<_> = [0u16, 1, 2, 0]
            .map(|seed| {
                let index =
                    |(step, &count): (usize, &usize)| (step as u16 * 3 + seed) % count as u16;
                tokens(&space, &choices.iter().enumerate().map(index).collect::<Vec<_>>())
            })
            .into();
        let weights = [(1.0, 0.0), (-0.5, 0.25), (0.0, -1.0), (0.75, 0.5)];
        let objective = |parameters: &[f64]| -> f64 {
            let terms = strings.iter().zip(weights).map(|(tokens, (w, v))| {
                let (log_probability, entropy) = reference.score(parameters, tokens.as_slice());
                w * log_probability + v * entropy
            });
            terms.sum()
        };
        for backend in backends() {
            let mut policy = policy(&backend, &space, &config);
            let parameters = flat(policy.parameters().unwrap());
            let expected = finite_difference(&parameters, 1e-5, objective);
            let terms: Vec<_> = strings
                .iter()
                .zip(weights)
                .map(|(tokens, (log_probability, entropy))| Term {
                    tokens,
                    log_probability,
                    entropy,
                })
                .collect();
            // Twice, since gradients must not pile up.
            for _ in 0..2 {
                policy.gradient(&terms).unwrap();
                let found: Vec<f32> = policy
                    .gradients()
                    .unwrap()
                    .into_iter()
                    .flat_map(|(_, values)| values)
                    .collect();
                let what = format!("{choices:?} {config:?} on {backend:?}");
                assert_close(&what, &found, &expected, Tolerance::FINITE_DIFFERENCE);
            }
        }
    }
}

#[test]
fn scores_and_distributions_are_those_of_the_reference() {
    for (choices, config) in networks() {
        let space = space(&choices);
        let reference = Reference::new(&space, &config);
        let strings: Vec<_> = space.iter().collect();
        for backend in backends() {
            let mut policy = policy(&backend, &space, &config);
            let parameters = flat(policy.parameters().unwrap());
            let scores = policy.score(&strings.iter().collect::<Vec<_>>()).unwrap();
            let mut total = 0.0;
            for (tokens, score) in strings.iter().zip(scores) {
                let (log_probability, entropy) = reference.score(&parameters, tokens.as_slice());
                let found = [score.log_probability as f32, score.entropy as f32];
                let what = format!("{choices:?}, {tokens:?}");
                let tolerance = Tolerance::FINITE_DIFFERENCE;
                assert_close(&what, &found, &[log_probability, entropy], tolerance);
                total += score.log_probability.exp();
            }
            assert!((total - 1.0).abs() < 1e-5, "{choices:?}: probabilities add up to {total}");

            let expected = reference.distributions(&parameters, strings[1].as_slice());
            for (found, expected) in policy.distributions(&strings[1]).unwrap().iter().zip(expected)
            {
                let found: Vec<f32> = found.iter().map(|p| *p as f32).collect();
                assert_close("distribution", &found, &expected, Tolerance::FINITE_DIFFERENCE);
            }
        }
    }
}

#[test]
fn a_policy_of_zeros_is_uniform() {
    let config = Config { initial_range: 0.0, embedding_range: 0.0, ..Config::default() };
    let space = space(&[2, 4, 8]);
    let mut policy = policy(&Cpu::serial(), &space, &config);
    let distributions = policy.distributions(&tokens(&space, &[1, 3, 5])).unwrap();
    assert_eq!(distributions, [vec![0.5; 2], vec![0.25; 4], vec![0.125; 8]]);
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
