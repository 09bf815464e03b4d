use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{Padding, pad2d, pad2d_backward};
use nasrl_tensor::{Cpu, DType};

/// A batch of images, and of maps of the reference space's first layer.
const LAYERS: [[usize; 4]; 2] = [[128, 32, 32, 3], [128, 16, 16, 64]];

/// Bound by memory: a read and a write of the images, and a write of their border.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let padding = Padding { top: 1, bottom: 1, left: 1, right: 1 };
    for dtype in [DType::F32, DType::BF16] {
        for layer in LAYERS {
            let x = uniform(&cpu, dtype, layer).expect("at most 8 MB");
            let dy = pad2d(&x, padding).expect("10 MB");
            let [input, output] = [&x, &dy].map(|t| (t.shape().count() * dtype.size()) as u64);
            let mut group = criterion.benchmark_group(format!("pad {dtype} {layer:?}"));
            group.throughput(Throughput::Bytes(input + output));
            group.bench_function("fprop", |b| b.iter(|| pad2d(black_box(&x), padding)));
            group.throughput(Throughput::Bytes(2 * input));
            group
                .bench_function("backward", |b| b.iter(|| pad2d_backward(black_box(&dy), padding)));
            group.finish();
        }
    }
}
