//! What a policy has come to prefer.

use nasrl_controller::{Policy, Result};
use nasrl_tensor::Cpu;
use nasrl_tensor::random::Key;

/// The probability of each value of each decision under a policy, whatever the other decisions are:
/// `P(a_t = v) = E[p(v | a_0 .. a_{t-1})]`, the mean over [`DRAWS`] token strings that the policy
/// draws, the same ones every time. Exact for the first decision; elsewhere the standard error is
/// at most 0.023, and mostly far smaller, since each draw gives a probability and not a choice.
///
/// # Errors
/// Those of the policy's device.
pub fn marginals(policy: &mut Policy<Cpu>) -> Result<Vec<Vec<f64>>> {
    let space = policy.space().clone();
    let decisions = space.decisions();
    let mut sums: Vec<Vec<f64>> =
        decisions.iter().map(|decision| vec![0.0; decision.values().len()]).collect();
    for sample in policy.sample(&space, Key::new(0, 0, "marginals"), 0, DRAWS)? {
        let distributions = policy.distributions(&sample.tokens)?;
        for (sums, distribution) in sums.iter_mut().zip(distributions) {
            sums.iter_mut().zip(distribution).for_each(|(sum, p)| *sum += p);
        }
    }
    sums.iter_mut().flatten().for_each(|sum| *sum /= DRAWS as f64);
    Ok(sums)
}

/// How many token strings are drawn.
pub const DRAWS: usize = 500;

#[cfg(test)]
mod tests {
    use nasrl_controller::Config;
    use nasrl_space::{Decision, Space, Value};

    use super::*;

    fn space() -> Space {
        let decision = |name: &str, count: i64| {
            Decision::new(name, name, (0..count).map(Value::Integer).collect()).unwrap()
        };
        let decisions = vec![decision("a", 2), decision("b", 3), decision("c", 2)];
        Space::from_decisions("abc", decisions).unwrap()
    }

    /// A policy that has learned enough for its decisions to depend on each other.
    fn opinionated(space: &Space) -> Policy<Cpu> {
        let config = Config { initial_range: 2.0, ..Config::default() };
        Policy::new(&Cpu::serial(), space, &config, Key::new(5, 0, "test")).unwrap()
    }

    #[test]
    fn they_are_sums_over_all_token_strings() {
        let space = space();
        let mut policy = opinionated(&space);
        let mut expected = [vec![0.0; 2], vec![0.0; 3], vec![0.0; 2]];
        for tokens in space.iter() {
            let p = policy.score(&[&tokens]).unwrap()[0].log_probability.exp();
            for (sums, index) in expected.iter_mut().zip(tokens.as_slice()) {
                sums[usize::from(*index)] += p;
            }
        }
        let found = marginals(&mut policy).unwrap();
        for (position, (found, expected)) in found.iter().zip(&expected).enumerate() {
            // Four standard errors at the most; the first decision depends on nothing.
            let tolerance = if position == 0 { 1e-6 } else { 4.0 * 0.5 / (DRAWS as f64).sqrt() };
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < tolerance, "{position}: {found} {expected}");
            }
        }
        assert_eq!(found, marginals(&mut opinionated(&space)).unwrap());
    }
}
