use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{concat, concat_backward};
use nasrl_tensor::{Cpu, DType};

/// Bound by memory: one read and one write of every element.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let channels = [16, 16, 32];
    for dtype in [DType::F32, DType::BF16] {
        let inputs =
            channels.map(|c| uniform(&cpu, dtype, [128, 16, 16, c]).expect("at most 4 MB"));
        let dy = uniform(&cpu, dtype, [128, 16, 16, 64]).expect("at most 8 MB");
        let mut group = criterion.benchmark_group(format!("concat {dtype} {channels:?}"));
        group.throughput(Throughput::Bytes((2 * dy.shape().count() * dtype.size()) as u64));
        group.bench_function("fprop", |b| {
            b.iter(|| concat(black_box(&inputs.each_ref())));
        });
        group.bench_function("backward", |b| b.iter(|| concat_backward(black_box(&dy), &channels)));
        group.finish();
    }
}
