use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{Operand, matmul};
use nasrl_tensor::{Cpu, DType};

/// A controller's gates for one and for nine sequences, a classifier, and a square large enough to
/// be bound by multiplications alone.
const EXTENTS: [[usize; 3]; 4] = [[1, 128, 32], [9, 128, 64], [128, 10, 64], [512, 512, 512]];

/// Small products are bound by the call and by reading `b` once, large ones by multiplications.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let mut group = criterion.benchmark_group("matmul f32");
    for [m, n, k] in EXTENTS {
        let a = uniform(&cpu, DType::F32, [m, k]).expect("small");
        let b = uniform(&cpu, DType::F32, [k, n]).expect("small");
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
        group.bench_function(format!("{m}x{n}x{k}"), |bencher| {
            bencher.iter(|| matmul(black_box(&a), Operand::Plain, &b, Operand::Plain));
        });
    }
    group.finish();
}
