//! The policy against a naive one in f64, and what the learner around it promises.

mod anchors;
mod checkpoint;
mod config;
mod gradient;
mod learning;
mod propose;
mod reference;
mod sampling;

use nasrl_controller::{Config, Draw, Policy, Proposal, Reinforce, Rejection};
use nasrl_space::{Decision, Space, Tokens, Value};
use nasrl_tensor::Cpu;
use nasrl_tensor::random::Key;

/// A space of one decision for each entry, of that many values; those with as many values are of
/// one kind.
fn space(choices: &[usize]) -> Space {
    let decision = |(position, &count): (usize, &usize)| {
        let values = (0..count as i64).map(Value::Integer).collect();
        Decision::new(format!("d{position}"), format!("of{count}"), values).expect("distinct")
    };
    let decisions = choices.iter().enumerate().map(decision).collect();
    Space::from_decisions("test", decisions).expect("distinct names")
}

/// Two to `layers` layers, each a convolution with one of two kernels or a pooling with one of three
/// windows, and which earlier layers it reads: 50 token strings of two layers, 1,000 of three.
fn skips(layers: usize) -> Space {
    let text = format!(
        r#"
        name = "skips"
        [layers]
        count = {layers}
        min_count = 2
        type = ["conv", "max_pool"]
        kernel = [1, 3]
        filters = 8
        pool_size = [2, 3, 4]
        skips = ["off", "on"]
        "#
    );
    Space::from_toml(&text, "skips").expect("a space")
}

fn tokens(space: &Space, indices: &[u16]) -> Tokens {
    space.tokens(indices.to_vec()).expect("an index for each decision")
}

fn policy(backend: &Cpu, space: &Space, config: &Config) -> Policy<Cpu> {
    Policy::new(backend, space, config, Key::new(7, 0, "test")).expect("a valid configuration")
}

fn controller(space: &Space, config: &Config, seed: u64) -> Reinforce<Cpu> {
    Reinforce::new(&Cpu::serial(), space, config, seed).expect("a valid configuration")
}

#[track_caller]
fn draw(controller: &mut Reinforce<Cpu>, trial: u64, seen: impl Fn(&Tokens) -> bool) -> Draw {
    let space = controller.policy().space().clone();
    match controller.propose(trial, &space, &|tokens| seen(tokens).then_some(Rejection::Seen)) {
        Ok(Proposal::Drawn(draw)) => draw,
        other => panic!("trial {trial}: {other:?}"),
    }
}
