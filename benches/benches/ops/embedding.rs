use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{embedding, embedding_backward};
use nasrl_tensor::{Cpu, DType, Tensor};

/// Indices, rows and width: a controller's step, and a batch of a language model.
const LOOK_UPS: [[usize; 3]; 2] = [[9, 18, 128], [700, 10_000, 650]];

/// Bound by memory: rows are read and written forward, read twice and written backward, into a
/// table of zeros that is new each time.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let mut group = criterion.benchmark_group("embedding");
    for [count, rows, width] in LOOK_UPS {
        let table = uniform(&cpu, DType::F32, [rows, width]).expect("26 MB");
        let dy = uniform(&cpu, DType::F32, [count, width]).expect("2 MB");
        let indices: Vec<u32> = (0..count).map(|i| (i * 7919 % rows) as u32).collect();
        let index = Tensor::from_slice(&cpu, [count], &indices).expect("as many as there are");
        let name = |pass: &str| format!("{pass} {count} of {rows}x{width}");
        group.throughput(Throughput::Bytes((2 * 4 * count * width) as u64));
        group.bench_function(name("fprop"), |b| b.iter(|| embedding(black_box(&table), &index)));
        group.throughput(Throughput::Bytes((3 * 4 * count * width + 4 * rows * width) as u64));
        group.bench_function(name("backward"), |b| {
            b.iter(|| embedding_backward(&index, black_box(&dy), rows));
        });
    }
    group.finish();
}
