//! A trial of the controller, sampling and learning, on one core: at 24 decisions of 4 values, and in
//! the paper's space with skips at its least and largest depths.
//!
//! The bound for the 24 decisions is 0.6 ms a trial with the `default` preset: 100,000 trials a
//! minute.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use nasrl_controller::{Preset, Proposal, Reinforce};
use nasrl_space::{Decision, Space, Tokens, Value};
use nasrl_tensor::Cpu;

fn trial(c: &mut Criterion) {
    let mut group = c.benchmark_group("controller");
    let decisions = decisions();
    let skips = Space::open("nas-rl-cnn").expect("a built-in space");
    let at_depth = |depth| skips.at_depth(depth).expect("one of its depths");
    for (name, space, within) in [
        ("", &decisions, &decisions),
        (" nas-rl-cnn 6", &skips, &at_depth(6)),
        (" nas-rl-cnn 20", &skips, &at_depth(20)),
    ] {
        for preset in Preset::ALL {
            let mut controller = Reinforce::new(&Cpu::serial(), space, &preset.config(), 1)
                .expect("a valid configuration");
            let mut trial = 0;
            group.bench_function(format!("{preset}{name}"), |bencher| {
                bencher.iter(|| {
                    let proposal = controller.propose(trial, within, &|_| None);
                    let tokens = match proposal.expect("finite") {
                        Proposal::Drawn(draw) => draw.tokens,
                        Proposal::Exhausted => unreachable!("nothing is rejected"),
                    };
                    let observed = controller.observe(trial, black_box(&tokens), reward(&tokens));
                    observed.expect("in turn");
                    trial += 1;
                });
            });
        }
    }
}

fn decisions() -> Space {
    let values: Vec<Value> = (0..4).map(Value::Integer).collect();
    let decision = |index| Decision::new(format!("d{index}"), "token", values.clone());
    let decisions = (0..24).map(decision).collect::<Result<_, _>>();
    decisions.and_then(|all| Space::from_decisions("bench", all)).expect("distinct names")
}

/// Noise that depends on the tokens: a policy that finds a best string would stop sampling.
fn reward(tokens: &Tokens) -> f64 {
    let mix = |hash: u64, token: &u16| {
        (hash ^ u64::from(*token)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23)
    };
    let hash = tokens.as_slice().iter().fold(0xcbf2_9ce4_8422_2325, mix);
    (hash >> 40) as f64 / (1u64 << 24) as f64
}

criterion_group!(benches, trial);
criterion_main!(benches);
