use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{Connection, Conv2d, Conv2dBackend, Epilogue, Sum};
use nasrl_tensor::{Cpu, DType, Memory};

/// Images of a call: what a compiled child takes through all its layers at a time.
const IMAGES: usize = 4;

/// The layers of the reference space's children, a layer of `nas-rl-cnn`, and a depthwise one.
fn layers() -> Vec<(&'static str, Conv2d)> {
    let layer = |input, channels, filters, kernel, stride| {
        Conv2d { stride: [stride; 2], ..Conv2d::new([input; 2], channels, filters, [kernel; 2]) }
            .same()
    };
    let depthwise = Conv2d { connection: Connection::Depthwise, ..layer(16, 64, 64, 3, 1) };
    vec![
        ("3x3/2 3-64 on 32x32", layer(32, 3, 64, 3, 2)),
        ("3x3/2 3-16 on 32x32", layer(32, 3, 16, 3, 2)),
        ("3x3 64-64 on 16x16", layer(16, 64, 64, 3, 1)),
        ("3x3 16-16 on 16x16", layer(16, 16, 16, 3, 1)),
        ("1x1 64-64 on 16x16", layer(16, 64, 64, 1, 1)),
        ("3x3/2 64-32 on 16x16", layer(16, 64, 32, 3, 2)),
        ("3x3 32-64 on 8x8", layer(8, 32, 64, 3, 1)),
        ("3x3 48-48 on 32x32", layer(32, 48, 48, 3, 1)),
        ("7x7 36-36 on 32x32", layer(32, 36, 36, 7, 1)),
        ("3x3 64 depthwise on 16x16", depthwise),
    ]
}

/// Bound by multiplications but for 1x1 and depthwise layers, which are bound by memory; on one
/// thread, as a child's worker runs them.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::serial();
    for dtype in [DType::F32, DType::BF16] {
        for (name, g) in layers() {
            let [[h, w], [p, q]] = [g.input, g.output()];
            let x = uniform(&cpu, dtype, [IMAGES, h, w, g.channels]).expect("small");
            let dy = uniform(&cpu, dtype, [IMAGES, p, q, g.filters]).expect("small");
            let filters = uniform(&cpu, DType::F32, g.filter_shape()).expect("small");
            let mut plan = cpu.conv2d_plan(&g, dtype).expect("a checked geometry");
            cpu.conv2d_load(&mut plan, filters.buffer()).expect("filters of its shape");
            let zeros = |dtype, len| cpu.zeros(dtype, len).expect("small");
            let mut y = zeros(dtype, dy.shape().count());
            let mut dx = zeros(dtype, x.shape().count());
            let mut dw = zeros(DType::F32, filters.shape().count());
            let mut group = criterion.benchmark_group(format!("conv2d {dtype} {name}"));
            group.throughput(Throughput::ElementsAndBytes {
                elements: IMAGES as u64 * g.flops(),
                bytes: ((x.shape().count() + dy.shape().count()) * dtype.size()) as u64,
            });
            group.bench_function("fprop", |b| {
                b.iter(|| {
                    let epilogue = Epilogue { bias: None, relu: true };
                    cpu.conv2d_fprop(&plan, IMAGES, black_box(x.buffer()), epilogue, &mut y)
                });
            });
            group.bench_function("dgrad", |b| {
                b.iter(|| {
                    let mask = Some(x.buffer());
                    cpu.conv2d_dgrad(&plan, IMAGES, black_box(dy.buffer()), mask, &mut dx)
                });
            });
            group.bench_function("wgrad", |b| {
                b.iter(|| {
                    let x = black_box(x.buffer());
                    cpu.conv2d_wgrad(&plan, IMAGES, x, dy.buffer(), Sum::Add, &mut dw)
                });
            });
            group.finish();
        }
    }
}
