use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{Dropout, dropout};
use nasrl_tensor::random::Key;
use nasrl_tensor::{Cpu, DType};

/// Bound by the arithmetic of Philox, ten rounds of two multiplications for four elements; the
/// throughput is that of one read and one write.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let at = Dropout { rate: 0.5, key: Key::new(1, 2, "dropout"), step: 3, offset: 0 };
    for dtype in [DType::F32, DType::BF16] {
        let x = uniform(&cpu, dtype, [128, 8, 8, 64]).expect("at most 2 MB");
        let mut group = criterion.benchmark_group(format!("dropout {dtype}"));
        group.throughput(Throughput::Bytes((2 * x.shape().count() * dtype.size()) as u64));
        group.bench_function("fprop", |b| b.iter(|| dropout(black_box(&x), &at)));
        group.finish();
    }
}
