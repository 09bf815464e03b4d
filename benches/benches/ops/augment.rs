use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_tensor::ops::{Augment, Crop, Draw, Flip, Normalisation, augment};
use nasrl_tensor::random::{Key, Philox};
use nasrl_tensor::{Cpu, DType, Tensor};

/// A batch of 128 of 1,024 CIFAR images. Plain normalisation is bound by the f32 it writes, in the
/// second-level cache; enlarging by the gather of two neighbours in a row.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    let mut random = Philox::new(Key::new(1, 0, "bench"));
    let bytes: Vec<u8> = (0..1024 * 32 * 32 * 3).map(|_| random.below(256) as u8).collect();
    let images = Tensor::from_slice(&cpu, [1024, 32, 32, 3], &bytes).expect("3 MB");
    let indices: Vec<u32> = (0..128).map(|_| random.below(1024)).collect();
    let indices = Tensor::from_slice(&cpu, [128], &indices).expect("128 indices");
    let deviation = [63.0; 4];
    let scale = Augment::normalise(Normalisation::Scale);
    let flip = Flip::Horizontal;
    let draw = Some(Draw { key: Key::new(1, 0, "augment"), step: 1 });
    let pad = Augment {
        normalisation: Normalisation::PerChannel { mean: [120.0; 4], deviation },
        crop: Crop::Pad { by: 4 },
        flip,
        cutout: 16,
        draw,
    };
    let (normalisation, crop) = (Normalisation::Whitening, Crop::Upsample { by: 8 });
    let enlarge = Augment { normalisation, crop, flip, cutout: 0, draw };
    let mut group = criterion.benchmark_group("augment");
    group.throughput(Throughput::Bytes(128 * 32 * 32 * 3 * (1 + 4)));
    for (name, how) in
        [("scale", scale), ("pad, crop, flip, cutout", pad), ("whiten, enlarge, crop", enlarge)]
    {
        group.bench_function(name, |b| {
            b.iter(|| augment(black_box(&images), &indices, &how, DType::F32));
        });
    }
    group.finish();
}
