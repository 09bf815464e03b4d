//! Whole training steps of children of the reference space and of the paper's, batch 128.
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

/// Six layers of the paper's space: narrow, rectangular, all skips, large filters, 1x1.
const PAPER_CHILDREN: [&str; 5] = [
    "1,3,24 / 3,1,24,1 / 3,3,36,01 / 1,5,24,001 / 5,1,36,0101 / 3,3,24,00011",
    "7,1,24 / 1,7,36,1 / 5,3,48,01 / 3,5,36,101 / 1,5,24,0010 / 3,3,48,01011",
    "3,3,64 / 3,3,64,1 / 3,3,64,11 / 3,3,64,111 / 3,3,64,1111 / 3,3,64,11111",
    "7,7,48 / 5,7,64,1 / 7,5,48,11 / 5,5,64,011 / 3,7,36,1011 / 7,3,64,01101",
    "1,1,64 / 1,1,48,1 / 1,3,64,11 / 3,1,36,111 / 1,1,64,0111 / 1,1,48,10111",
];

fn steps(criterion: &mut Criterion) {
    let plain = Space::reference();
    let normalised = plain.with_batch_norm().expect("the reference space describes networks");
    let paper = Space::open("nas-rl-cnn").expect("a built-in space");
    let paper = paper.at_depth(6).expect("it has children of six layers");
    let split = random_images();
    for (suffix, space, children) in [
        ("", plain, &CHILDREN[..]),
        (" batch norm", normalised, &CHILDREN),
        (" nas-rl-cnn", paper, &PAPER_CHILDREN),
    ] {
        for (precision, name) in [(Precision::F32, "f32"), (Precision::Bf16, "bf16")] {
            let mut group = criterion.benchmark_group(format!("training step {name}{suffix}"));
            group.throughput(Throughput::Elements(BATCH as u64));
            group.sample_size(20);
            for child in children {
                let tokens = space.parse(child).expect("a child of the space");
                let graph = space.build(&tokens, IMAGE, CLASSES).expect("it fits the images");
                let mut program = compile(&graph, precision, &split);
                let indices: Vec<u32> = (0..BATCH as u32).collect();
                let batch = Batch { split: &split, indices: &indices };
                group.bench_function(*child, |b| {
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
