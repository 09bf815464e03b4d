use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{log_softmax, log_softmax_backward, softmax, softmax_backward};
use nasrl_tensor::{Cpu, DType};

/// Bound by the exponentials: two an element forward, none (softmax) or one backward.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let mut group = criterion.benchmark_group("softmax");
    for shape in [[128, 10], [700, 10_000]] {
        let x = uniform(&cpu, DType::F32, shape).expect("28 MB");
        group.throughput(Throughput::Elements((shape[0] * shape[1]) as u64));
        let name = |pass: &str| format!("{pass} {}x{}", shape[0], shape[1]);
        group.bench_function(name("fprop"), |b| b.iter(|| softmax(black_box(&x))));
        group.bench_function(name("backward"), |b| b.iter(|| softmax_backward(black_box(&x), &x)));
        group.bench_function(name("log fprop"), |b| b.iter(|| log_softmax(black_box(&x))));
        group.bench_function(name("log backward"), |b| {
            b.iter(|| log_softmax_backward(black_box(&x), &x));
        });
    }
    group.finish();
}
