//! A training step asks for no memory. A test of its own process, because it counts every
//! allocation.

use nasrl_child::data::{ImageShape, Split};
use nasrl_child::recipe::Precision;
use nasrl_child::{Batch, Lowering, Program, ProgramOptions, Recipe, Schedule, Weights};
use nasrl_space::{
    Activation, Conv2d, ConvolutionKind, Dense, Dropout, Extent, Graph, GraphBuilder, Image, Op,
    Padding, Pool, PoolKind, Space,
};
use nasrl_tensor::Cpu;
use nasrl_tensor::cpu::Conv2dAlgorithm;
use nasrl_tests::{Counting, Inputs};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const IMAGE: Image = Image { height: 16, width: 16, channels: 3 };
const CLASSES: usize = 5;

/// Two groups of images, of which the last is no whole one.
const BATCH: usize = 24;

/// Steps after which nothing is asked for, and steps that are looked at.
const WARM: usize = 2;
const STEPS: usize = 3;

/// What it is, the graph and the recipe.
type Child = (&'static str, Graph, Recipe);

fn children() -> Vec<Child> {
    let plain = Space::reference();
    let normalised = plain.with_batch_norm().unwrap();
    let paper = Space::open("nas-rl-cnn").unwrap().at_depth(6).unwrap();
    let build =
        |space: &Space, tokens| space.build(&space.parse(tokens).unwrap(), IMAGE, CLASSES).unwrap();
    let skipping = "3,3,36/1,1,24,1/1,3,36,11/5,1,48,101/3,1,36,0110/1,1,24,01011";
    let reference = "3,64,1,32,3,64,3,16";
    vec![
        ("reference", build(&plain, reference), Recipe::reference()),
        ("with batch normalisation", build(&normalised, reference), Recipe::reference()),
        ("of the paper", build(&paper, skipping), Recipe::paper()),
        ("with every other operation", assorted(), Recipe::reference()),
    ]
}

/// Both poolings, with windows that overlap and that do not, and what spaces have no layers of.
fn assorted() -> Graph {
    let square = |side| Extent { height: side, width: side };
    let convolution = |kind, stride| {
        let (kernel, dilation, padding) = (square(3), square(1), Padding::Same);
        let stride = square(stride);
        Op::Conv2d(Conv2d { kind, kernel, stride, dilation, padding, bias: true })
    };
    let pool = |kind, size, stride| {
        let (size, stride) = (square(size), square(stride));
        Op::Pool(Pool { kind, size, stride, padding: Padding::Same })
    };
    let mut builder = GraphBuilder::new(IMAGE).unwrap();
    let mut node = builder.input();
    for (index, op) in [
        convolution(ConvolutionKind::Full { filters: 40 }, 1),
        pool(PoolKind::Max, 3, 1),
        Op::Activation(Activation::Tanh),
        pool(PoolKind::Average, 3, 2),
        convolution(ConvolutionKind::Depthwise, 1),
        Op::BatchNorm,
        Op::Activation(Activation::Sigmoid),
        convolution(ConvolutionKind::Full { filters: 24 }, 2),
        pool(PoolKind::Average, 2, 2),
        pool(PoolKind::Max, 2, 2),
        Op::Dropout(Dropout { rate: 0.5 }),
        Op::Dense(Dense { units: 300 }),
        Op::Activation(Activation::Relu),
        Op::Dense(Dense { units: CLASSES }),
    ]
    .into_iter()
    .enumerate()
    {
        let before = node;
        node = builder.add(format!("layer{index}"), op, &[before]).unwrap();
        if index == 2 {
            node = builder.add("sum", Op::Add, &[before, node]).unwrap();
        }
    }
    builder.finish(node)
}

fn images() -> Split {
    let shape = ImageShape { height: IMAGE.height, width: IMAGE.width, channels: IMAGE.channels };
    let (mut inputs, count) = (Inputs::new(1), 2 * BATCH);
    let bytes = inputs.indices(count * shape.bytes(), 256);
    let bytes = bytes.into_iter().map(|byte| byte as u8).collect();
    Split::new(shape, bytes, inputs.indices(count, CLASSES)).unwrap()
}

#[test]
fn steps_ask_for_no_memory() {
    let split = images();
    let order: Vec<u32> = (0..2 * BATCH as u32).cycle().take((WARM + STEPS) * BATCH).collect();
    let rates = [0.01; WARM + STEPS];
    for (name, graph, recipe) in children() {
        for precision in [Precision::F32, Precision::Bf16] {
            for threads in [1, 2] {
                let recipe = Recipe { batch: BATCH, precision, ..recipe.clone() };
                let what = format!("{name}, {precision:?}, {threads} threads");
                let mut program = program(&graph, &recipe, &split, threads);
                let batches = order.chunks_exact(BATCH);
                quiet(&what, batches, |indices| {
                    program.backpropagate(&Batch { split: &split, indices }).unwrap();
                    program.update(0.01).unwrap();
                });
                let mut pass = program.train(&split, &order, &rates).unwrap();
                quiet(&format!("pass, {what}"), rates.iter(), |_| {
                    pass.next().unwrap().unwrap();
                });
                let mut pass = program.measure(&split, &order).unwrap();
                quiet(&format!("measurement, {what}"), rates.iter(), |_| {
                    pass.next().unwrap().unwrap();
                });
            }
        }
    }
}

/// Takes steps, of which those after the first [`WARM`] ask for nothing.
fn quiet<T>(what: &str, mut batches: impl Iterator<Item = T>, mut step: impl FnMut(T)) {
    batches.by_ref().take(WARM).for_each(&mut step);
    let before = ALLOCATOR.requests();
    batches.for_each(step);
    assert_eq!(ALLOCATOR.requests() - before, 0, "allocations in {STEPS} steps: {what}");
}

fn program(graph: &Graph, recipe: &Recipe, split: &Split, threads: usize) -> Program<Cpu> {
    let options = ProgramOptions {
        lowering: Lowering::Fused,
        schedule: Schedule::cpu(graph, recipe.precision, threads),
        input: recipe.input(split),
        seed: 1,
        trial: 0,
    };
    let on = Cpu::serial().with_conv2d(Conv2dAlgorithm::Winograd);
    let mut program = Program::new(&on, graph, recipe, &options).unwrap();
    program.load(&Weights::initial(graph, 1, 0)).unwrap();
    program
}
