use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{Pool2d, Pooling, pool2d, pool2d_backward};
use nasrl_tensor::{Cpu, DType};

/// Bound by memory for windows side by side: one read of the input and one write of the output
/// forward, one read of both and one write of the input backward. A window of 3x3 with stride 1
/// takes nine loads from the cache for an element, and is bound by them.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let halving = Pool2d::new(Pooling::Max, [16, 16], 64, [2, 2]);
    let smoothing = Pool2d { window: [3, 3], stride: [1, 1], ..halving }.same();
    for dtype in [DType::F32, DType::BF16] {
        for max in [halving, smoothing] {
            for pooling in [Pooling::Max, Pooling::Average] {
                let geometry = Pool2d { pooling, ..max };
                let [p, q] = geometry.output();
                let x = uniform(&cpu, dtype, [128, 16, 16, 64]).expect("at most 8 MB");
                let dy = uniform(&cpu, dtype, [128, p, q, 64]).expect("at most 8 MB");
                let [input, output] = [&x, &dy].map(|t| (t.shape().count() * dtype.size()) as u64);
                let [r, s] = geometry.window;
                let mut group =
                    criterion.benchmark_group(format!("pool {dtype} {pooling:?} {r}x{s}"));
                group.throughput(Throughput::Bytes(input + output));
                group.bench_function("fprop", |b| b.iter(|| pool2d(black_box(&x), &geometry)));
                group.throughput(Throughput::Bytes(2 * input + output));
                group.bench_function("backward", |b| {
                    b.iter(|| pool2d_backward(black_box(&x), &dy, &geometry));
                });
                group.finish();
            }
        }
    }
}
