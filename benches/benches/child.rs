//! Whole training steps of children of the reference space, batch 128.
//!
//! Bound by the arithmetic of the convolutions: three passes over the multiply-additions that
//! `nasrl space show` counts, which are the throughput's elements here times 128.
//!
//! `cargo bench -p nasrl-benches --bench child -- bf16` runs one precision.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nasrl_child::data::{ImageShape, Split};
use nasrl_child::recipe::Precision;
use nasrl_child::{Batch, Lowering, Program, ProgramOptions, Recipe, Schedule, Weights};
use nasrl_space::{Graph, Image, Space};
use nasrl_tensor::Cpu;

/// The children that the peer measures by default.
const CHILDREN: [&str; 6] = [
    "3,64,3,64,3,32,3,64",
    "3,64,3,64,3,64,3,64",
    "3,16,3,16,3,16,3,16",
    "1,16,3,32,1,16,3,16",
    "1,64,1,64,1,64,1,64",
    "3,32,1,64,3,16,1,32",
];

const BATCH: usize = 128;
const CLASSES: usize = 10;
const IMAGE: Image = Image { height: 32, width: 32, channels: 3 };

fn steps(criterion: &mut Criterion) {
    let plain = Space::reference();
    let normalised = plain.with_batch_norm().expect("the reference space describes networks");
    let split = random_images();
    for (suffix, space) in [("", plain), (" batch norm", normalised)] {
        for (precision, name) in [(Precision::F32, "f32"), (Precision::Bf16, "bf16")] {
            let mut group = criterion.benchmark_group(format!("training step {name}{suffix}"));
            group.throughput(Throughput::Elements(BATCH as u64));
            group.sample_size(20);
            for child in CHILDREN {
                let tokens = space.parse(child).expect("a child of the space");
                let graph = space.build(&tokens, IMAGE, CLASSES).expect("it fits the images");
                let mut program = compile(&graph, precision, &split);
                let indices: Vec<u32> = (0..BATCH as u32).collect();
                let batch = Batch { split: &split, indices: &indices };
                group.bench_function(child, |b| {
                    b.iter(|| {
                        let score = program.backpropagate(&batch)?;
                        program.update(0.001)?;
                        Ok::<_, nasrl_child::TrainError>(score)
                    });
                });
            }
            group.finish();
        }
    }
}

fn compile(graph: &Graph, precision: Precision, split: &Split) -> Program<Cpu> {
    let recipe = Recipe { batch: BATCH, precision, ..Recipe::reference() };
    let threads = Cpu::new().thread_count();
    let options = ProgramOptions {
        lowering: Lowering::Fused,
        schedule: Schedule::cpu(graph, precision, threads),
        input: recipe.input(split),
        seed: 0,
        trial: 0,
    };
    let mut program =
        Program::new(&Cpu::serial(), graph, &recipe, &options).expect("a few megabytes");
    program.load(&Weights::initial(graph, 0, 0)).expect("the graph's own weights");
    program
}

fn random_images() -> Split {
    let shape = ImageShape { height: IMAGE.height, width: IMAGE.width, channels: IMAGE.channels };
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u32
    };
    let images = (0..BATCH * shape.bytes()).map(|_| next() as u8).collect();
    let labels = (0..BATCH).map(|_| next() % CLASSES as u32).collect();
    Split::new(shape, images, labels).expect("as many images as labels")
}

criterion_group!(benches, steps);
criterion_main!(benches);
