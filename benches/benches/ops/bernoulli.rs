use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{
    PolicyWeights, RowDraw, bernoulli_backward, bernoulli_sample, bernoulli_score,
};
use nasrl_tensor::random::Key;
use nasrl_tensor::{Cpu, DType};

/// Bound by an exponential a bit, and a logarithm to score it. The functions on tensors add the
/// allocation of their results and the check of the bits.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::serial();
    let mut group = criterion.benchmark_group("bernoulli");
    for shape @ [rows, bits] in [[1, 5], [9, 5], [9, 19]] {
        let logits = uniform(&cpu, DType::F32, shape).expect("a kilobyte");
        let weights = uniform(&cpu, DType::F32, [rows]).expect("a few bytes");
        let draw = RowDraw { key: Key::new(1, 0, "sample"), first: 0, step: 0 };
        let drawn = bernoulli_sample(&logits, draw).expect("f32 logits");
        group.throughput(Throughput::Elements((rows * bits) as u64));
        let name = |pass: &str| format!("{pass} {rows}x{bits}");
        group.bench_function(name("sample"), |b| {
            b.iter(|| bernoulli_sample(black_box(&logits), draw));
        });
        group.bench_function(name("score"), |b| {
            b.iter(|| bernoulli_score(black_box(&logits), &drawn));
        });
        group.bench_function(name("backward"), |b| {
            b.iter(|| {
                let weights = PolicyWeights { log_probability: &weights, entropy: &weights };
                bernoulli_backward(black_box(&logits), &drawn, weights)
            });
        });
    }
    group.finish();
}
