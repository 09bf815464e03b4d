use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{Optimizer, UpdateRule};
use nasrl_tensor::{Cpu, DType};

/// A child of the reference space with 64 filters in every layer has 113,000 parameters.
const PARAMETERS: usize = 113_000;

/// Bound by memory: parameters and state are read and written, gradients read. A child's fit into
/// the second-level cache, where the square roots and quotients of Adam and RMSProp are the bound.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let gradients = [uniform(&cpu, DType::F32, [PARAMETERS]).expect("half a megabyte")];
    let mut group = criterion.benchmark_group("optimizer");
    for (name, rule) in [
        ("sgd", UpdateRule::Sgd { momentum: 0.9, nesterov: true }),
        ("adam", UpdateRule::ADAM),
        ("rms_prop", UpdateRule::RmsProp { decay: 0.9, momentum: 0.9, epsilon: 1e-10 }),
    ] {
        let mut parameters = [uniform(&cpu, DType::F32, [PARAMETERS]).expect("half a megabyte")];
        let mut optimizer = Optimizer::new(rule, 1e-4).expect("hyperparameters in range");
        let words = 3 + 2 * rule.state_buffers();
        group.throughput(Throughput::Bytes((4 * words * PARAMETERS) as u64));
        group.bench_function(name, |b| {
            b.iter(|| optimizer.step(1e-6, black_box(&mut parameters), &gradients));
        });
    }
    group.finish();
}
