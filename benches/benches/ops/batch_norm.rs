use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{Activation, BatchNorm, batch_norm, batch_norm_backward};
use nasrl_tensor::{Cpu, DType, Tensor};

/// Batches of the reference space's maps.
const LAYERS: [[usize; 4]; 3] = [[128, 16, 16, 64], [128, 16, 16, 16], [128, 8, 8, 64]];

/// Bound by memory: two reads and one write forward, four reads and one write backward.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    for dtype in [DType::F32, DType::BF16] {
        for layer in LAYERS {
            let channels = layer[3];
            let norm = BatchNorm { activation: Some(Activation::Relu), ..BatchNorm::new(channels) };
            let x = uniform(&cpu, dtype, layer).expect("at most 8 MB");
            let parameters = uniform(&cpu, DType::F32, [2, channels]).expect("512 bytes");
            let mut running = Tensor::zeros(&cpu, DType::F32, [2, channels]).expect("512 bytes");
            let (_, normalizer) =
                batch_norm(&norm, &x, &parameters, &mut running).expect("shapes that go together");
            let bytes = (x.shape().count() * dtype.size()) as u64;
            let mut group = criterion.benchmark_group(format!("batch_norm {dtype} {layer:?}"));
            group.throughput(Throughput::Bytes(3 * bytes));
            group.bench_function("relu fprop", |b| {
                b.iter(|| batch_norm(&norm, black_box(&x), &parameters, &mut running));
            });
            group.throughput(Throughput::Bytes(5 * bytes));
            group.bench_function("relu backward", |b| {
                b.iter(|| batch_norm_backward(&norm, black_box(&x), &x, &normalizer));
            });
            group.finish();
        }
    }
}
