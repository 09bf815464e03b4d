use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{Activation, activation, activation_backward};
use nasrl_tensor::{Cpu, DType};

/// A batch of the reference space's first layer: 128 maps of 16x16 with 64 channels.
const LAYER: [usize; 4] = [128, 16, 16, 64];

/// Bound by memory: one read and one write forward, two reads and one write backward.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let elements: usize = LAYER.iter().product();
    for dtype in [DType::F32, DType::BF16] {
        let x = uniform(&cpu, dtype, LAYER).expect("32 MB");
        let mut group = criterion.benchmark_group(format!("activation {dtype}"));
        for f in [Activation::Relu, Activation::Tanh, Activation::Sigmoid] {
            group.throughput(Throughput::Bytes((2 * elements * dtype.size()) as u64));
            group.bench_function(format!("{f} fprop"), |b| {
                b.iter(|| activation(black_box(&x), f));
            });
            group.throughput(Throughput::Bytes((3 * elements * dtype.size()) as u64));
            group.bench_function(format!("{f} backward"), |b| {
                b.iter(|| activation_backward(black_box(&x), &x, f));
            });
        }
        group.finish();
    }
}
