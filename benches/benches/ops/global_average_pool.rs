use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{global_average_pool, global_average_pool_backward};
use nasrl_tensor::{Cpu, DType};

/// Batches of the reference children's last maps.
const MAPS: [[usize; 4]; 2] = [[128, 8, 8, 32], [128, 8, 8, 64]];

/// Bound by memory: one read of the maps forward, one write backward.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    for dtype in [DType::F32, DType::BF16] {
        for map in MAPS {
            let x = uniform(&cpu, dtype, map).expect("at most 2 MB");
            let dy = uniform(&cpu, DType::F32, [map[0], map[3]]).expect("at most 32 KB");
            let mut group =
                criterion.benchmark_group(format!("global_average_pool {dtype} {map:?}"));
            group.throughput(Throughput::Bytes((x.shape().count() * dtype.size()) as u64));
            group.bench_function("fprop", |b| b.iter(|| global_average_pool(black_box(&x))));
            group.bench_function("backward", |b| {
                b.iter(|| global_average_pool_backward(black_box(&dy), map, dtype));
            });
            group.finish();
        }
    }
}
