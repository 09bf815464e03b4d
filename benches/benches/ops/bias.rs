use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{Activation, bias, bias_backward};
use nasrl_tensor::{Cpu, DType};

/// Batches of the reference space's maps, as rows of channels.
const LAYERS: [[usize; 4]; 2] = [[128, 16, 16, 64], [128, 16, 16, 16]];

/// Bound by memory: one read and one write forward, one read backward.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    for dtype in [DType::F32, DType::BF16] {
        for layer in LAYERS {
            let x = uniform(&cpu, dtype, layer).expect("at most 8 MB");
            let b = uniform(&cpu, DType::F32, [layer[3]]).expect("256 bytes");
            let bytes = (x.shape().count() * dtype.size()) as u64;
            let mut group = criterion.benchmark_group(format!("bias {dtype} {layer:?}"));
            group.throughput(Throughput::Bytes(2 * bytes));
            group.bench_function("relu fprop", |bench| {
                bench.iter(|| bias(black_box(&x), &b, Some(Activation::Relu)));
            });
            group.throughput(Throughput::Bytes(bytes));
            group.bench_function("backward", |bench| bench.iter(|| bias_backward(black_box(&x))));
            group.finish();
        }
    }
}
