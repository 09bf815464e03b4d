use std::collections::HashSet;

use nasrl_controller::{Config, Preset, Reinforce, RewardScale};
use nasrl_space::{Space, Tokens};
use nasrl_tensor::Cpu;

use crate::{controller, draw, space};

/// Six decisions of four values that each add to the reward by themselves; the best string, 1 in
/// 4096, has reward 1.
fn bandit() -> (Space, impl Fn(&Tokens) -> f64) {
    let reward = |tokens: &Tokens| {
        let parts = tokens.as_slice().iter().enumerate();
        let sum: usize = parts.map(|(step, token)| (usize::from(*token) * 3 + step) % 4).sum();
        sum as f64 / 18.0
    };
    (space(&[4; 6]), reward)
}

/// The rewards of so many trials.
fn run(config: &Config, seed: u64, trials: u64) -> (Reinforce<Cpu>, Vec<f64>) {
    let (space, reward) = bandit();
    let mut controller = controller(&space, config, seed);
    let mut seen = HashSet::new();
    let rewards = (0..trials)
        .map(|trial| {
            let tokens = draw(&mut controller, trial, |tokens| seen.contains(tokens)).tokens;
            let reward = reward(&tokens);
            controller.observe(trial, &tokens, reward).unwrap();
            seen.insert(tokens);
            reward
        })
        .collect();
    (controller, rewards)
}

fn mean(rewards: &[f64]) -> f64 {
    rewards.iter().sum::<f64>() / rewards.len() as f64
}

#[test]
fn the_default_finds_the_best_of_4096_within_300_trials() {
    let finds = |seed: &u64| run(&Preset::Default.config(), *seed, 300).1.contains(&1.0);
    let found = (0..20).filter(finds).count();
    assert!(found >= 19, "{found} of 20 seeds");
}

/// Uniform strings have a mean reward of 0.5 with a standard deviation of 0.15.
#[test]
fn published_presets_learn() {
    for (preset, trials, least) in [(Preset::Paper, 6000, 0.9), (Preset::Reference, 2000, 0.7)] {
        for seed in 0..3 {
            let (_, rewards) = run(&preset.config(), seed, trials);
            let last = mean(&rewards[rewards.len() - 500..]);
            assert!(last > least, "{preset}, seed {seed}: {last}");
        }
    }
}

#[test]
fn every_scale_of_rewards_learns() {
    for (reward_scale, learning_rate) in
        [(RewardScale::Raw, 1.0), (RewardScale::ZScore, 0.3), (RewardScale::Rank, 0.3)]
    {
        let config = Config { reward_scale, learning_rate, redraws: 0, ..Config::default() };
        let (_, rewards) = run(&config, 5, 600);
        let last = mean(&rewards[500..]);
        assert!(last > 0.8, "{reward_scale:?}: {last}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    for preset in Preset::ALL {
        let trace = |seed| {
            let (controller, rewards) = run(&preset.config(), seed, 60);
            (controller.checkpoint().unwrap(), rewards)
        };
        assert!(trace(1) == trace(1), "{preset}");
        assert!(trace(1).1 != trace(2).1, "{preset}");
    }
}

#[test]
fn a_penalty_shrinks_the_parameters() {
    let config = |l2| Config { l2, learning_rate: 0.1, ..Config::default() };
    let size = |l2| {
        let (mut controller, _) = run(&config(l2), 1, 50);
        let parameters = controller.policy().parameters().unwrap();
        let values = parameters.into_iter().flat_map(|(_, values)| values);
        values.map(|value| f64::from(value).powi(2)).sum::<f64>()
    };
    // 100 steps, each of which multiplies by 1 - 2 * 0.1 * 0.05 what else it would be.
    assert!(size(0.05) < 0.3 * size(0.0));
}

#[test]
fn metrics_follow_the_trials() {
    let (space, _) = bandit();
    let mut controller = controller(&space, &Preset::Paper.config(), 1);
    let metrics = controller.metrics();
    assert_eq!((metrics.baseline, metrics.mean_reward, metrics.entropy), (None, None, None));
    for trial in 0..24 {
        let draw = draw(&mut controller, trial, |_| false);
        controller.observe(trial, &draw.tokens, trial as f64).unwrap();
        assert_eq!(controller.metrics().entropy, Some(draw.entropy));
    }
    let metrics = controller.metrics();
    assert_eq!(metrics.mean_reward, Some(13.5));
    assert_eq!((metrics.updates, metrics.restarts), (3, 0));
    let (mut sum, mut weight) = (0.0, 0.0);
    for reward in 0..24 {
        sum = 0.95 * sum + 0.05 * f64::from(reward);
        weight = 0.95 * weight + 0.05;
    }
    assert!((metrics.baseline.unwrap() - sum / weight).abs() < 1e-12);
}
