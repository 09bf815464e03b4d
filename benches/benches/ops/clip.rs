use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::clip_global_norm;
use nasrl_tensor::{Cpu, DType};

/// A child of the reference space with 64 filters in every layer has 113,000 parameters.
const PARAMETERS: usize = 113_000;

/// Bound by memory: gradients that are short enough are read, the others read twice and written.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let mut gradients = [uniform(&cpu, DType::F32, [PARAMETERS]).expect("half a megabyte")];
    let mut group = criterion.benchmark_group("clip");
    group.throughput(Throughput::Bytes((4 * PARAMETERS) as u64));
    group.bench_function("short", |b| {
        b.iter(|| clip_global_norm(1e6, black_box(&mut gradients)));
    });
    // Every call has to scale: the next bound is below the norm that the last one left.
    let mut most = 1.0;
    group.throughput(Throughput::Bytes((3 * 4 * PARAMETERS) as u64));
    group.bench_function("long", |b| {
        b.iter(|| {
            most *= 0.999_999;
            clip_global_norm(most, black_box(&mut gradients))
        });
    });
    group.finish();
}
