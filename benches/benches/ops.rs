//! Throughput of every operation at the shapes of real children and controllers, on the processor
//! and on the first GPU if there is one that can be used.
//!
//! `cargo bench -p nasrl-benches --bench ops -- conv2d` runs one operation, `-- '^cuda'` the GPU
//! alone. Operands stay in place between calls: what is measured is the operation, without
//! allocations, warm.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use nasrl_benches::case::{Case, Setting, Shapes, Values};
use nasrl_benches::operations::operations;
use nasrl_tensor::{Backend, Cpu, Cuda, DType};

/// What a controller or a child's worker calls from one thread, with four images at a time as a
/// block of a training step has them; the others use all threads and a batch.
const SERIAL: [&str; 5] = ["attention", "bernoulli", "categorical", "conv2d", "lstm_cell"];

const DTYPES: [DType; 2] = [DType::F32, DType::BF16];

fn ops(criterion: &mut Criterion) {
    let is_serial = |name: &str| SERIAL.contains(&name);
    measure(criterion, &Cpu::new(), 128, |name| !is_serial(name));
    measure(criterion, &Cpu::serial(), 4, is_serial);
    // Without a GPU there is nothing to measure on one; `gpu-check doctor` says what is missing.
    if let Ok(cuda) = Cuda::new(0) {
        measure(criterion, &cuda, 128, |_| true);
    }
}

fn measure<B: Backend>(
    criterion: &mut Criterion,
    on: &B,
    images: usize,
    wanted: impl Fn(&str) -> bool,
) {
    let shapes = Shapes::Real { images };
    for operation in operations::<B>().into_iter().filter(|operation| wanted(operation.name)) {
        for dtype in DTYPES {
            let setting = Setting { on, dtype, shapes, values: Values::Uniform };
            let cases = (operation.cases)(&setting).expect("the device has the memory");
            let name = format!("{} {} {dtype}", on.name(), operation.name);
            if cases.is_empty() {
                continue;
            }
            let mut group = criterion.benchmark_group(name);
            for case in cases {
                bench(&mut group, on, case);
            }
            group.finish();
        }
    }
}

fn bench<B: Backend>(group: &mut BenchmarkGroup<'_, WallTime>, on: &B, mut case: Case<B>) {
    let (flops, bytes) = (case.work.flops, case.work.bytes);
    group.throughput(match flops {
        0 => Throughput::Bytes(bytes),
        elements => Throughput::ElementsAndBytes { elements, bytes },
    });
    let name = format!("{} {}", case.pass, case.shape);
    group.bench_function(name, |bencher| {
        // Calls are queued on a GPU: those of an iteration are waited for together.
        bencher.iter_custom(|calls| {
            let started = std::time::Instant::now();
            for _ in 0..calls {
                case.run(on).expect("checked operands");
            }
            on.synchronize().expect("the device goes on");
            started.elapsed()
        });
    });
}

criterion_group!(benches, ops);
criterion_main!(benches);
