//! Children leave nothing behind. A test of its own process, because it counts every allocation.

use std::fs;

use nasrl_child::data::{Dataset, ImageShape, Split};
use nasrl_child::{Recipe, Training, recipe::Precision, train};
use nasrl_space::{Graph, Image, Space};
use nasrl_tensor::random::{Key, Philox};
use nasrl_tests::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SIDE: usize = 12;
const CLASSES: usize = 3;

/// More bytes than the largest child takes, fewer than two of them.
const PEAK: usize = 6 << 20;

/// KiB by which the process may grow, of 80 children.
const GROWTH: usize = 2048;

/// Children of a round: with and without batch normalisation.
fn graphs() -> Vec<Graph> {
    let plain = Space::reference();
    let normalised = plain.with_batch_norm().unwrap();
    let mut random = Philox::new(Key::new(1, 0, "children"));
    let image = Image { height: SIDE, width: SIDE, channels: 1 };
    [&plain, &normalised]
        .into_iter()
        .flat_map(|space| {
            let children = (0..10).map(|_| space.sample(&mut random)).collect::<Vec<_>>();
            children.into_iter().map(move |child| space.build(&child, image, CLASSES).unwrap())
        })
        .collect()
}

fn dataset() -> Dataset {
    let shape = ImageShape { height: SIDE, width: SIDE, channels: 1 };
    let split = |count: usize| {
        let images = (0..count * shape.bytes()).map(|i| ((i * 40_503) >> 8) as u8).collect();
        Split::new(shape, images, (0..count).map(|i| (i % CLASSES) as u32).collect()).unwrap()
    };
    let classes = (0..CLASSES).map(|class| class.to_string()).collect();
    Dataset::from_splits(classes, split(80), Some(split(20)), None).unwrap()
}

/// KiB of this process in memory; `None` where `/proc` does not tell.
fn resident() -> Option<usize> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Every round trains the same children, so that after the first, when threads have taken what they
/// keep, not one byte may be added.
#[test]
fn memory_is_flat_over_children() {
    let (graphs, dataset) = (graphs(), dataset());
    let train_all = || {
        for precision in [Precision::F32, Precision::Bf16] {
            let recipe = Recipe { epochs: 2, batch: 32, precision, ..Recipe::reference() };
            for (trial, graph) in graphs.iter().enumerate() {
                let (trial, threads) = (trial as u64, 1 + trial % 2);
                let training = Training { trial, threads, ..Training::default() };
                train(graph, &recipe, &dataset, training).unwrap();
            }
        }
    };
    train_all();
    let (in_use, before) = (ALLOCATOR.current(), resident());
    ALLOCATOR.forget_peak();
    for _ in 0..2 {
        train_all();
        assert_eq!(ALLOCATOR.current(), in_use);
    }
    let peak = ALLOCATOR.peak() - in_use;
    assert!(peak < PEAK, "{peak} bytes at once: a child is freed before the next begins");
    // Stacks and fragments are no allocations; 80 children that kept some each would show.
    if let Some((before, after)) = before.zip(resident()) {
        assert!(after < before + GROWTH, "{before} KiB resident, then {after} KiB");
    }
}
