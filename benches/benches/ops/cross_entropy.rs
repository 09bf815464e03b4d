use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{cross_entropy, cross_entropy_with_gradient};
use nasrl_tensor::{Cpu, DType, Tensor};

/// Bound by the exponentials: one an element for the loss, two with the gradient.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let mut group = criterion.benchmark_group("cross_entropy");
    for [rows, classes] in [[128, 10], [700, 10_000]] {
        let x = uniform(&cpu, DType::F32, [rows, classes]).expect("28 MB");
        let labels: Vec<u32> = (0..rows as u32).map(|row| row % 10).collect();
        let labels = Tensor::from_slice(&cpu, [rows], &labels).expect("a label for each row");
        group.throughput(Throughput::Elements((rows * classes) as u64));
        group.bench_function(format!("loss {rows}x{classes}"), |b| {
            b.iter(|| cross_entropy(black_box(&x), &labels, rows as f32));
        });
        group.bench_function(format!("loss and gradient {rows}x{classes}"), |b| {
            b.iter(|| cross_entropy_with_gradient(black_box(&x), &labels, rows as f32));
        });
    }
    group.finish();
}
