use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{add, add_assign};
use nasrl_tensor::{Cpu, DType};

/// A batch of the reference space's first layer: 128 maps of 16x16 with 64 channels.
const LAYER: [usize; 4] = [128, 16, 16, 64];

/// Bound by memory: two reads and one write.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    for dtype in [DType::F32, DType::BF16] {
        let a = uniform(&cpu, dtype, LAYER).expect("at most 8 MB");
        let mut b = uniform(&cpu, dtype, LAYER).expect("at most 8 MB");
        let mut group = criterion.benchmark_group(format!("add {dtype}"));
        group.throughput(Throughput::Bytes((3 * a.shape().count() * dtype.size()) as u64));
        group.bench_function("fprop", |bench| bench.iter(|| add(black_box(&a), &b)));
        group.bench_function("in place", |bench| bench.iter(|| add_assign(&mut b, black_box(&a))));
        group.finish();
    }
}
