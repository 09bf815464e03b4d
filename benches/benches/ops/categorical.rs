use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{
    PolicyWeights, RowDraw, categorical_backward, categorical_sample, categorical_score,
};
use nasrl_tensor::random::Key;
use nasrl_tensor::{Cpu, DType};

/// Bound by the exponentials: up to two a value to draw and to score, up to three for a gradient.
/// The functions on tensors add the allocation of their results and the check of the indices.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::serial();
    let mut group = criterion.benchmark_group("categorical");
    for shape @ [rows, values] in [[1, 4], [9, 4], [20, 13]] {
        let logits = uniform(&cpu, DType::F32, shape).expect("a kilobyte");
        let weights = uniform(&cpu, DType::F32, [rows]).expect("a few bytes");
        let draw = RowDraw { key: Key::new(1, 0, "sample"), first: 0, step: 0 };
        let index = categorical_sample(&logits, draw).expect("f32 logits");
        group.throughput(Throughput::Elements((rows * values) as u64));
        let name = |pass: &str| format!("{pass} {rows}x{values}");
        group.bench_function(name("sample"), |b| {
            b.iter(|| categorical_sample(black_box(&logits), draw));
        });
        group.bench_function(name("score"), |b| {
            b.iter(|| categorical_score(black_box(&logits), &index));
        });
        group.bench_function(name("backward"), |b| {
            b.iter(|| {
                let weights = PolicyWeights { log_probability: &weights, entropy: &weights };
                categorical_backward(black_box(&logits), &index, weights)
            });
        });
    }
    group.finish();
}
