//! Passes of children over images that the GPU holds: recorded, replayed, and asked for ahead. On an
//! emulator of its own, whose calls are counted.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

#[path = "child/graphs.rs"]
mod graphs;
#[path = "child/images.rs"]
mod images;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use nasrl_child::data::Split;
use nasrl_child::recipe::{Augmentation, Crop, Flip, Normalisation, Optimizer, Precision};
use nasrl_child::{
    Batch, Lowering, Program, ProgramOptions, Recipe, Schedule, TrainError, Weights,
};
use nasrl_cuda_emulator::{Emulator, Options, install};
use nasrl_space::{Graph, Image};
use nasrl_tensor::cuda::{CudaOptions, KernelCache};
use nasrl_tensor::{Cuda, Error, Memory};

use graphs::{normalised_child, paper_child, random_graph, reference_child, skipping_child};
use images::images;

const IMAGE: Image = Image { height: 8, width: 8, channels: 3 };
/// Two long recordings, a few short ones and a batch of one image.
const IMAGES: usize = 3 * 35 + 1;
const BATCH: usize = 3;

const OPTIMIZERS: [Optimizer; 3] = [
    Optimizer::Sgd { momentum: 0.9, nesterov: true },
    Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
    Optimizer::RmsProp { decay: 0.9, momentum: 0.5, epsilon: 1e-10 },
];

/// Calls are counted and allocations fail for the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn emulator() -> &'static Emulator {
    install(&Options { print: false, ..Options::default() }).unwrap()
}

fn gpu() -> Cuda {
    emulator();
    let cache = KernelCache::Nowhere;
    Cuda::with_options(&CudaOptions { cache, ..CudaOptions::default() }).unwrap()
}

/// With everything random that there is.
fn recipe(precision: Precision, optimizer: Optimizer) -> Recipe {
    Recipe {
        batch: BATCH,
        learning_rate: 0.01,
        optimizer,
        weight_decay: 1e-3,
        precision,
        normalisation: Normalisation::PerChannel,
        augmentation: Augmentation { crop: Crop::Pad { by: 1 }, flip: Flip::Horizontal, cutout: 2 },
        ..Recipe::reference()
    }
}

fn program(
    on: &Cuda,
    graph: &Graph,
    recipe: &Recipe,
    split: &Split,
) -> Result<Program<Cuda>, TrainError> {
    let (lowering, schedule) = (Lowering::Fused, Schedule::gpu(recipe.batch));
    let options =
        ProgramOptions { lowering, schedule, input: recipe.input(split), seed: 3, trial: 4 };
    let mut program = Program::new(on, graph, recipe, &options)?;
    program.load(&Weights::initial(graph, 3, 4))?;
    Ok(program)
}

/// An order of all images of a split, another one for each epoch.
fn order(split: &Split, epoch: usize) -> Vec<u32> {
    let count = split.len() as u32;
    (0..count).map(|index| (index * 5 + epoch as u32) % count).collect()
}

fn rates(order: &[u32]) -> Vec<f64> {
    (0..order.len().div_ceil(BATCH)).map(|step| 0.01 / (1 + step) as f64).collect()
}

/// What a training comes to: the bits of all losses, the correct answers, the weights.
type Course = (Vec<(u32, usize)>, Weights);

/// Two epochs, each with a measurement after it, of batches from the host.
fn by_steps(on: &Cuda, graph: &Graph, recipe: &Recipe, split: &Split) -> Course {
    let mut program = program(on, graph, recipe, split).unwrap();
    let mut scores = Vec::new();
    for epoch in 0..2 {
        let order = order(split, epoch);
        for (indices, rate) in order.chunks(BATCH).zip(rates(&order)) {
            scores.push(program.backpropagate(&Batch { split, indices }).unwrap());
            program.update(rate).unwrap();
        }
        for indices in order.chunks(BATCH) {
            scores.push(program.evaluate(&Batch { split, indices }).unwrap());
        }
    }
    let bits = scores.iter().map(|score| (score.loss.to_bits(), score.correct));
    (bits.collect(), program.weights().unwrap())
}

/// The same by passes.
fn by_passes(on: &Cuda, graph: &Graph, recipe: &Recipe, split: &Split) -> Course {
    let mut program = program(on, graph, recipe, split).unwrap();
    let mut scores = Vec::new();
    for epoch in 0..2 {
        let order = order(split, epoch);
        scores.extend(program.train(split, &order, &rates(&order)).unwrap());
        scores.extend(program.measure(split, &order).unwrap());
    }
    let scores = scores.into_iter().map(Result::unwrap);
    let bits = scores.map(|score| (score.loss.to_bits(), score.correct));
    (bits.collect(), program.weights().unwrap())
}

#[test]
fn a_replayed_training_has_the_bits_of_its_single_steps() {
    let _alone = alone();
    let on = gpu();
    let mut children = vec![
        (reference_child("3,16,1,32,3,16,1,16", IMAGE), Precision::Bf16),
        (paper_child(1, 6, IMAGE), Precision::F32),
        (normalised_child(&[0, 1], IMAGE), Precision::Bf16),
    ];
    // Dropout and batch normalisation are among their operations.
    children.extend((0..2).map(|seed| (random_graph(seed, 8), Precision::F32)));
    for (number, (graph, precision)) in children.iter().enumerate() {
        let split = images(graph, IMAGES);
        for optimizer in OPTIMIZERS {
            let recipe = recipe(*precision, optimizer);
            let expected = by_steps(&on, graph, &recipe, &split);
            let found = by_passes(&on, graph, &recipe, &split);
            assert!(found == expected, "child {number}, {optimizer:?}");
        }
    }
}

/// How often the driver is called meanwhile, and the kernels that ran.
fn counted(work: impl FnOnce()) -> (BTreeMap<&'static str, u64>, Vec<String>) {
    let before = emulator().calls();
    emulator().clear_launches();
    work();
    let mut calls = emulator().calls();
    for (function, count) in &mut calls {
        *count -= before.get(function).copied().unwrap_or(0);
    }
    calls.retain(|_, count| *count > 0);
    (calls, emulator().launches().into_iter().map(|launch| launch.kernel).collect())
}

/// Kernels of a training step of the reference's best child, in 16-bit numbers, at most.
const LAUNCHES: usize = 16;

#[test]
fn within_a_pass_the_host_only_launches_recordings() {
    let _alone = alone();
    let on = gpu();
    let graph = reference_child("3,64,3,64,3,32,3,64", IMAGE);
    let recipe = recipe(Precision::Bf16, OPTIMIZERS[1]);
    let split = images(&graph, BATCH * 33);
    let mut program = program(&on, &graph, &recipe, &split).unwrap();
    let order = order(&split, 0);
    let rates = rates(&order);
    let run = |program: &mut Program<Cuda>, measured: bool| {
        let pass = match measured {
            true => program.measure(&split, &order),
            false => program.train(&split, &order, &rates),
        };
        assert!(pass.unwrap().all(|score| score.is_ok()));
    };
    for measured in [false, true] {
        // The first pass runs its first batch at once, so that a recording of one comes later.
        (0..2).for_each(|_| run(&mut program, measured));
        let (calls, launches) = counted(|| run(&mut program, measured));
        let calls_of = |function: &str| calls.get(function).copied().unwrap_or(0);
        // The order, the clock and, for training, the rates; at the end the losses.
        let written = if measured { 2 } else { 3 };
        assert_eq!(calls_of("cuMemcpyHtoDAsync_v2"), written, "{calls:?}");
        assert_eq!(calls_of("cuMemcpyDtoHAsync_v2"), 1, "{calls:?}");
        assert_eq!(calls_of("cuStreamSynchronize"), written + 1, "{calls:?}");
        // 33 batches: two recordings of 16 and one of one.
        assert_eq!(calls_of("cuGraphLaunch"), 3, "{calls:?}");
        let others = ["cuCtxSetCurrent", "cuCtxGetCurrent", "cuLaunchKernel"];
        let known = ["cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuStreamSynchronize"];
        let surplus: Vec<_> = calls
            .keys()
            .filter(|call| !known.contains(call) && !others.contains(call))
            .filter(|call| **call != "cuGraphLaunch")
            .collect();
        assert!(surplus.is_empty(), "{surplus:?}");
        if !measured {
            assert_eq!(calls_of("cuLaunchKernel"), 0);
            let step = &launches[..launches.len() / 33];
            assert!(launches.chunks(step.len()).all(|other| other == step), "not all are alike");
            assert!(step.len() <= LAUNCHES, "{} kernels: {step:?}", step.len());
        }
    }
}

#[test]
fn children_side_by_side_share_the_images() {
    let _alone = alone();
    let on = gpu();
    let graph = reference_child("3,16,1,32,3,16,1,16", IMAGE);
    let recipe = recipe(Precision::F32, OPTIMIZERS[0]);
    let split = images(&graph, IMAGES);
    let expected = by_passes(&on, &graph, &recipe, &split);
    // A clone is a split of its own, which is not on the GPU yet.
    let split = split.clone();
    let (calls, _) = counted(|| {
        thread::scope(|scope| {
            let children: Vec<_> = (0..2)
                .map(|_| {
                    let stream = on.new_stream().unwrap();
                    let (graph, recipe, split) = (&graph, &recipe, &split);
                    scope.spawn(move || by_passes(&stream, graph, recipe, split))
                })
                .collect();
            for child in children {
                assert!(child.join().unwrap() == expected);
            }
        });
    });
    assert_eq!(calls.get("cuMemAlloc_v2"), Some(&2), "images and labels, once");
    let free = || on.memory().unwrap().free;
    let before = free();
    drop(split);
    assert!(free() > before, "the images stay as long as the split");
}

#[test]
fn memory_that_runs_out_at_any_moment_is_an_error() {
    let _alone = alone();
    let on = gpu();
    let graph = random_graph(1, 6);
    let recipe = recipe(Precision::F32, OPTIMIZERS[0]);
    let split = images(&graph, 40);
    let order = order(&split, 0);
    let train = |on: &Cuda| -> Result<(), TrainError> {
        let split = split.clone();
        let mut program = program(on, &graph, &recipe, &split)?;
        program.train(&split, &order, &rates(&order))?.try_for_each(|score| score.map(drop))?;
        program.measure(&split, &order)?.try_for_each(|score| score.map(drop))
    };
    train(&on).unwrap();
    let free = on.memory().unwrap().free;
    let mut failures = 0;
    for after in 0.. {
        let stream = on.new_stream().unwrap();
        emulator().fail_allocations(after);
        let outcome = train(&stream);
        emulator().fail_allocations(usize::MAX);
        match outcome {
            Ok(()) => break,
            Err(TrainError::OutOfMemory { .. }) => failures += 1,
            Err(TrainError::Tensor(Error::OutOfMemory { .. })) => panic!("not told as such"),
            Err(error) => panic!("after {after} allocations: {error}"),
        }
        drop(stream);
    }
    assert!(failures > 20, "{failures}");
    on.synchronize().unwrap();
    assert_eq!(on.memory().unwrap().free, free, "nothing stays behind");
    train(&on).unwrap();
}

/// Kernels of a training step of `skipping_child` in 16-bit numbers. Were its parts of 36 channels not
/// folded, passes over memory would make them 100.
const SKIPPING: usize = 34;

/// Nothing is left of the passes of normalisations, of the concatenation and of the head.
#[test]
fn what_is_folded_has_no_kernels() {
    let _alone = alone();
    let on = gpu();
    let skipping = step(&on, &skipping_child(IMAGE));
    assert!(skipping.len() <= SKIPPING, "{} kernels: {skipping:?}", skipping.len());
    for launches in [skipping, step(&on, &normalised_child(&[0, 1], IMAGE))] {
        let folded = [
            "copy_channels",
            "add",
            "batch_norm_moments",
            "batch_norm_apply",
            "batch_norm_backward_apply",
            "batch_norm_sums",
            "bias",
            "global_average_pool",
            "matmul",
            "cross_entropy",
        ];
        let left: Vec<_> = launches
            .iter()
            .filter(|kernel| folded.iter().any(|folded| kernel.starts_with(folded)))
            .collect();
        assert!(left.is_empty(), "{left:?} of {launches:?}");
        assert!(launches.iter().any(|kernel| kernel.starts_with("classifier")), "{launches:?}");
    }
}

/// The kernels of a training step on a batch.
fn step(on: &Cuda, graph: &Graph) -> Vec<String> {
    let recipe = recipe(Precision::Bf16, OPTIMIZERS[1]);
    let split = images(graph, BATCH);
    let mut program = program(on, graph, &recipe, &split).unwrap();
    let order = order(&split, 0);
    let rates = rates(&order);
    let (_, launches) = counted(|| {
        let mut scores = program.train(&split, &order, &rates).unwrap();
        assert!(scores.all(|score| score.is_ok()));
    });
    launches
}
