//! The memory that training takes against what is said of it beforehand. Nothing else may run in
//! this process, so this is one test and one program.

use nasrl_child::data::{Dataset, ImageShape, Split};
use nasrl_child::recipe::Precision;
use nasrl_child::{Recipe, Test, Training, requirements, train};
use nasrl_space::{Graph, Image, Space};
use nasrl_tests::{Counting, Inputs};

/// How far the estimate may be off, as a part of what was counted.
const TOLERANCE: f64 = 0.05;

const IMAGE: Image = Image { height: 16, width: 16, channels: 3 };
const CLASSES: usize = 10;
const BATCH: usize = 32;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_estimate_is_what_training_takes() {
    let mut graphs = vec![("reference".to_owned(), child("reference", 4, 1))];
    for depth in [6, 8, 10, 12] {
        graphs.push((format!("{depth} layers"), child("nas-rl-cnn", depth, depth as u64)));
        let strided = child("nas-rl-cnn-strides", depth, depth as u64);
        graphs.push((format!("{depth} layers with strides"), strided));
    }
    let dataset = dataset();
    for (name, graph) in &graphs {
        for precision in [Precision::F32, Precision::Bf16] {
            for threads in [1, 2] {
                let recipe = Recipe { batch: BATCH, epochs: 1, precision, ..Recipe::reference() };
                let estimate = requirements(graph, &recipe, threads).unwrap().bytes;
                let counted = counted(graph, &recipe, &dataset, threads);
                let error = estimate as f64 / counted as f64 - 1.0;
                assert!(
                    error.abs() <= TOLERANCE,
                    "{name}, {precision:?}, {threads} threads: {counted} bytes were in use, \
                     the estimate is {estimate}, {:+.1} %",
                    100.0 * error
                );
            }
        }
    }
}

/// The most bytes that were in use at a time in a training, in a thread of its own, so that it
/// finds no scratch of another. The thread is joined: the end of its scope does not wait for its
/// scratch to be freed, which would be counted out of the next training.
fn counted(graph: &Graph, recipe: &Recipe, dataset: &Dataset, threads: usize) -> usize {
    let before = ALLOCATOR.current();
    ALLOCATOR.forget_peak();
    std::thread::scope(|scope| {
        let training = scope.spawn(|| {
            let training = Training { threads, test: Test::Measure, ..Training::default() };
            train(graph, recipe, dataset, training).unwrap()
        });
        training.join().unwrap();
    });
    ALLOCATOR.peak() - before
}

fn child(space: &str, depth: usize, seed: u64) -> Graph {
    let space = Space::open(space).unwrap();
    let space = space.at_depth(depth).unwrap_or(space);
    let mut inputs = Inputs::new(seed);
    let indices = space.decisions().iter().map(|d| inputs.below(d.values().len()) as u16);
    let tokens = space.tokens(indices.collect()).unwrap();
    space.build(&tokens, IMAGE, CLASSES).unwrap()
}

fn dataset() -> Dataset {
    let shape = ImageShape { height: IMAGE.height, width: IMAGE.width, channels: IMAGE.channels };
    let mut inputs = Inputs::new(1);
    let mut split = |images: usize| {
        let bytes = inputs.indices(images * shape.bytes(), 256);
        let bytes = bytes.into_iter().map(|byte| byte as u8).collect();
        Split::new(shape, bytes, inputs.indices(images, CLASSES)).unwrap()
    };
    let classes = (0..CLASSES).map(|class| class.to_string()).collect();
    Dataset::from_splits(classes, split(2 * BATCH), Some(split(BATCH)), Some(split(BATCH))).unwrap()
}
