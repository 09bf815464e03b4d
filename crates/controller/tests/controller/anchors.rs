//! Skips, decisions that depend on others, and several depths: how they are drawn and learned.

use std::collections::{HashMap, HashSet};

use nasrl_controller::{Config, Error, Preset, Proposal, Reinforce, Rejection};
use nasrl_space::{Space, Tokens};
use nasrl_tensor::Cpu;
use nasrl_tensor::random::Key;

use crate::{controller, policy, skips, space};

/// Ranges wide enough for a distribution that is far from uniform.
fn skewed() -> Config {
    Config { initial_range: 0.6, embedding_range: 0.9, ..Config::default() }
}

#[test]
fn frequencies_are_the_probabilities_at_each_depth() {
    const SAMPLES: u64 = 40_000;
    // The values that chi-squared exceeds once in 100,000 times.
    for (depth, strings, bound) in [(2, 50, 101.0), (3, 1000, 1205.0)] {
        let space = skips(3);
        let within = space.at_depth(depth).unwrap();
        let mut policy = policy(&Cpu::serial(), &space, &Config::default());
        let mut counts = HashMap::new();
        for trial in 0..SAMPLES / 8 {
            for sample in policy.sample(&within, Key::new(3, trial, "test"), 0, 8).unwrap() {
                *counts.entry(sample.tokens).or_insert(0) += 1;
            }
        }
        let all: Vec<_> = within.iter().collect();
        let scores = policy.score(&all.iter().collect::<Vec<_>>()).unwrap();
        let mut chi_squared = 0.0;
        for (tokens, score) in all.iter().zip(scores) {
            let expected = score.log_probability.exp() * SAMPLES as f64;
            assert!(expected > 5.0, "too rare for the test: {tokens:?}");
            let found = f64::from(counts.remove(tokens).unwrap_or(0));
            chi_squared += (found - expected).powi(2) / expected;
        }
        assert!(counts.is_empty(), "not of the space: {counts:?}");
        let least = f64::from(strings) / 2.0;
        assert!((least..bound).contains(&chi_squared), "chi-squared {chi_squared} at {depth}");
    }
}

/// A draw does not change with the draws beside it, and is the beginning of the deeper draw.
#[test]
fn a_draw_depends_on_its_number_alone() {
    let space = skips(6);
    let mut policy = policy(&Cpu::serial(), &space, &skewed());
    let key = Key::new(1, 2, "test");
    let deepest = policy.sample(&space, key, 0, 12).unwrap();
    for depth in space.depths() {
        let within = space.at_depth(depth).unwrap();
        let together = policy.sample(&within, key, 0, 12).unwrap();
        for (number, expected) in together.iter().enumerate() {
            let alone = policy.sample(&within, key, number as u32, 1).unwrap().remove(0);
            assert_eq!(alone, *expected, "draw {number}");
            let deepest = deepest[number].tokens.as_slice();
            assert_eq!(deepest[..expected.tokens.len()], *expected.tokens.as_slice());
        }
    }
}

/// Sequences of other lengths beside one change no bit of its score.
#[test]
fn a_score_depends_on_its_tokens_alone() {
    let space = skips(6);
    let mut policy = policy(&Cpu::serial(), &space, &skewed());
    let mut samples = vec![];
    for depth in space.depths() {
        let within = space.at_depth(depth).unwrap();
        samples.extend(policy.sample(&within, Key::new(4, 0, "test"), 0, 3).unwrap());
    }
    let strings: Vec<&Tokens> = samples.iter().map(|sample| &sample.tokens).collect();
    let scores = policy.score(&strings).unwrap();
    for (sample, score) in samples.iter().zip(scores) {
        assert_eq!(sample.score, score);
        assert_eq!(policy.score(&[&sample.tokens]).unwrap(), [score]);
    }
}

/// The rewards of so many trials on six layers with two kernels each: the share of the 21 decisions
/// whose index is that of `best`.
fn rewards(config: &Config, seed: u64, trials: u64, best: fn(usize, &str) -> u16) -> Vec<f64> {
    let text = r#"
        name = "bandit"
        [layers]
        count = 6
        kernel = [1, 3]
        filters = 8
        skips = ["off", "on"]
    "#;
    let space = Space::from_toml(text, "bandit").unwrap();
    let decisions = space.decisions().iter().enumerate();
    let best: Vec<u16> = decisions.map(|(place, decision)| best(place, decision.name())).collect();
    let mut controller = controller(&space, config, seed);
    let mut seen = HashSet::new();
    let trial = |trial| {
        let rejected = |tokens: &Tokens| seen.contains(tokens).then_some(Rejection::Seen);
        let Proposal::Drawn(draw) = controller.propose(trial, &space, &rejected).unwrap() else {
            panic!("trial {trial}: exhausted")
        };
        let right = draw.tokens.as_slice().iter().zip(&best).filter(|(index, best)| index == best);
        let reward = right.count() as f64 / 21.0;
        controller.observe(trial, &draw.tokens, reward).unwrap();
        seen.insert(draw.tokens);
        reward
    };
    (0..trials).map(trial).collect()
}

/// The best of the 2,097,152 token strings has no rule to its skips.
#[test]
fn the_default_learns_which_layers_to_read() {
    let best = |place: usize, _: &str| (place * place / 3 % 2) as u16;
    let finds = |seed: &u64| rewards(&Preset::Default.config(), *seed, 1000, best).contains(&1.0);
    let found = (0..10).filter(finds).count();
    assert!(found >= 8, "{found} of 10 seeds");
}

/// The best token string reads the first layer everywhere and no other. Uniform ones have a mean
/// reward of 0.5; with the right kernels and uniform skips it is 0.64.
#[test]
fn the_paper_learns_which_layer_to_read() {
    let best =
        |_: usize, name: &str| u16::from(name.ends_with("kernel") || name.ends_with(".skip1"));
    for seed in 0..3 {
        let rewards = rewards(&Preset::Paper.config(), seed, 6400, best);
        let last = rewards[5900..].iter().sum::<f64>() / 500.0;
        assert!(last > 0.95, "seed {seed}: {last}");
    }
}

/// A controller whose space grows while it learns, from two layers to five.
struct Growing {
    space: Space,
    controller: Reinforce<Cpu>,
    seen: HashSet<Tokens>,
    trial: u64,
}

impl Growing {
    fn new(config: &Config) -> Self {
        let space = skips(5);
        let controller = controller(&space, config, 6);
        Growing { space, controller, seen: HashSet::new(), trial: 0 }
    }

    fn advance(&mut self, trials: u64) -> Vec<Tokens> {
        let step = |_| {
            let within = self.space.at_depth(2 + self.trial as usize / 25).unwrap();
            let rejected = |tokens: &Tokens| self.seen.contains(tokens).then_some(Rejection::Seen);
            let proposal = self.controller.propose(self.trial, &within, &rejected).unwrap();
            let Proposal::Drawn(draw) = proposal else { panic!("exhausted") };
            assert_eq!(draw.tokens.len(), within.decisions().len());
            let ones = draw.tokens.as_slice().iter().filter(|index| **index == 1).count();
            self.controller.observe(self.trial, &draw.tokens, ones as f64).unwrap();
            self.seen.insert(draw.tokens.clone());
            self.trial += 1;
            draw.tokens
        };
        (0..trials).map(step).collect()
    }
}

/// With a batch of 8 the updates mix two depths; with `default` its queue does.
#[test]
fn a_search_can_grow_and_be_restored() {
    for preset in Preset::ALL {
        let config = preset.config();
        let mut search = Growing::new(&config);
        search.advance(53);
        let bytes = search.controller.checkpoint().unwrap();
        let controller =
            Reinforce::restore(&Cpu::serial(), &search.space, &config, &bytes).unwrap();
        let (space, seen) = (search.space.clone(), search.seen.clone());
        let mut restored = Growing { space, controller, seen, trial: search.trial };
        assert_eq!(restored.advance(40), search.advance(40), "{preset}");
        let ends = [&restored, &search].map(|search| search.controller.checkpoint().unwrap());
        assert!(ends[0] == ends[1], "{preset}");
    }
}

#[test]
fn a_depth_is_tried_out_and_then_exhausted() {
    let space = skips(3);
    let within = space.at_depth(2).unwrap();
    let mut controller = controller(&space, &Config::default(), 2);
    let mut seen = HashSet::new();
    for trial in 0..50 {
        let proposal = controller
            .propose(trial, &within, &|tokens| seen.contains(tokens).then_some(Rejection::Seen));
        let Proposal::Drawn(draw) = proposal.unwrap() else { panic!("trial {trial}") };
        controller.observe(trial, &draw.tokens, f64::from(draw.tokens.as_slice()[0])).unwrap();
        assert!(seen.insert(draw.tokens), "trial {trial}");
    }
    let mut next = |within| {
        controller
            .propose(50, within, &|tokens| seen.contains(tokens).then_some(Rejection::Seen))
            .unwrap()
    };
    assert_eq!(next(&within), Proposal::Exhausted);
    assert!(matches!(next(&space), Proposal::Drawn(_)));
}

#[test]
fn other_spaces_are_refused() {
    let mut controller = controller(&skips(3), &Config::default(), 2);
    // One more layer, another space, and decisions of the space that no depth ends with.
    let shorter = Space::from_decisions("shorter", skips(3).decisions()[..1].to_vec()).unwrap();
    for within in [skips(4), space(&[2, 3]), shorter] {
        let proposal = controller.propose(0, &within, &|_| None);
        assert!(matches!(proposal, Err(Error::Space { .. })), "{}", within.name());
    }
    let deep = skips(4).unrank(&0u32.into()).unwrap();
    assert!(matches!(controller.observe(0, &deep, 0.0), Err(Error::Tokens { .. })));
}

#[test]
fn parameters_of_anchors_are_named() {
    let space = skips(3);
    let mut policy = policy(&Cpu::serial(), &space, &Config { units: 4, ..Config::default() });
    let sizes = |named: Vec<(&str, Vec<f32>)>| -> Vec<(String, usize)> {
        let anchors = named.into_iter().filter(|(name, _)| name.starts_with("anchor."));
        anchors.map(|(name, values)| (name.to_owned(), values.len())).collect()
    };
    let expected = [("previous", 16), ("current", 16), ("v", 4), ("input", 64)];
    let expected = expected.map(|(name, size)| (format!("anchor.{name}"), size));
    assert_eq!(sizes(policy.parameters().unwrap()), expected);
    policy.gradient(&[]).unwrap();
    assert_eq!(sizes(policy.gradients().unwrap()), expected);
}
