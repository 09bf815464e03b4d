//! Trainings that are interrupted and gone on with.

use std::ops::ControlFlow;
use std::sync::Arc;

use nasrl_child::data::{Dataset, ImageShape, ValidationSplit};
use nasrl_child::recipe::{Augmentation, Crop, Flip, Optimizer, Schedule};
use nasrl_child::{
    Checkpoint, CheckpointError, Recipe, Test, TrainError, Trained, Training, train,
};

use crate::graphs::random_graph;
use crate::problem::Problem;

/// A few random images for a network, some of them for validation.
fn dataset(problem: &Problem, seed: u64) -> Dataset {
    let image = problem.graph.input_shape();
    let validation = Problem::new(problem.graph.clone(), 6, seed);
    let mut dataset = Dataset::embedded(ValidationSplit::Standard).unwrap();
    dataset.shape =
        ImageShape { height: image.height, width: image.width, channels: image.channels };
    dataset.classes.truncate(crate::graphs::CLASSES);
    dataset.train = Arc::new(problem.split.clone());
    dataset.validation = Some(Arc::new(validation.split));
    dataset
}

/// With everything random that there is, and a step size that changes.
fn recipe(optimizer: Optimizer) -> Recipe {
    Recipe {
        epochs: 4,
        batch: 5,
        optimizer,
        weight_decay: 0.01,
        schedule: Schedule::Cosine { last: 0.0 },
        augmentation: Augmentation { crop: Crop::Pad { by: 1 }, flip: Flip::Horizontal, cutout: 1 },
        ..Recipe::reference()
    }
}

fn training<'a>() -> Training<'a> {
    Training { seed: u64::MAX, trial: 2, log_every: 1, test: Test::Skip, ..Training::default() }
}

/// What of a training has to repeat, clocks aside.
fn result(trained: &Trained) -> impl PartialEq + std::fmt::Debug {
    let epochs = trained.epochs.iter();
    let epochs = epochs.map(|e| (e.number, e.loss, e.training_accuracy, e.validation_accuracy));
    (epochs.collect::<Vec<_>>(), trained.losses.clone(), trained.weights.clone())
}

#[test]
fn a_training_goes_on_from_any_epoch_as_if_nothing_had_happened() {
    for (seed, optimizer) in [
        Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
        Optimizer::Sgd { momentum: 0.9, nesterov: true },
        Optimizer::RmsProp { decay: 0.9, momentum: 0.5, epsilon: 1e-3 },
    ]
    .into_iter()
    .enumerate()
    {
        let problem = Problem::new(random_graph(seed as u64, 10), 18, seed as u64);
        let (graph, dataset, recipe) = (&problem.graph, dataset(&problem, 9), recipe(optimizer));
        let mut files = Vec::new();
        let mut keep = |checkpoint: &Checkpoint| {
            files.push(checkpoint.to_safetensors());
            ControlFlow::Continue(())
        };
        let kept = Training { on_checkpoint: Some(&mut keep), ..training() };
        let whole = train(graph, &recipe, &dataset, kept).unwrap();
        assert_eq!(files.len(), 3);
        for (finished, bytes) in files.iter().enumerate() {
            let checkpoint = Checkpoint::from_safetensors(bytes, graph).unwrap();
            assert_eq!(checkpoint.epochs(), &whole.epochs[..finished + 1]);
            assert_eq!(checkpoint.to_safetensors(), *bytes);
            let resumed = Training { resume: Some(&checkpoint), ..training() };
            let resumed = train(graph, &recipe, &dataset, resumed).unwrap();
            assert_eq!(result(&resumed), result(&whole), "{graph}, epoch {}", finished + 1);
        }
    }
}

#[test]
fn checkpoints_of_something_else_are_refused() {
    let problem = Problem::new(random_graph(0, 6), 10, 0);
    let (graph, dataset) = (&problem.graph, dataset(&problem, 1));
    let recipe = recipe(Optimizer::Sgd { momentum: 0.9, nesterov: false });
    let mut latest = Vec::new();
    let mut keep = |checkpoint: &Checkpoint| {
        latest = checkpoint.to_safetensors();
        ControlFlow::Break(())
    };
    let kept = Training { on_checkpoint: Some(&mut keep), ..training() };
    let cancelled = train(graph, &recipe, &dataset, kept).unwrap_err();
    assert!(matches!(cancelled, TrainError::Cancelled), "{cancelled}");
    let checkpoint = Checkpoint::from_safetensors(&latest, graph).unwrap();

    let others = [
        (Recipe { epochs: 5, ..recipe.clone() }, training()),
        (recipe.clone(), Training { seed: 1, ..training() }),
        (recipe.clone(), Training { trial: 1, ..training() }),
    ];
    for (recipe, training) in others {
        let resumed = Training { resume: Some(&checkpoint), ..training };
        let refused = train(graph, &recipe, &dataset, resumed).unwrap_err();
        let expected = CheckpointError::OtherTraining;
        assert!(matches!(&refused, TrainError::Checkpoint(e) if *e == expected), "{refused}");
    }
    let other = random_graph(1, 6);
    for (bytes, graph) in
        [(&latest[..], &other), (&latest[..latest.len() - 1], graph), (b"", graph)]
    {
        let refused = Checkpoint::from_safetensors(bytes, graph).unwrap_err();
        assert!(matches!(refused, CheckpointError::Format { .. }), "{refused}");
    }
    let weights = problem.weights.to_safetensors();
    assert!(Checkpoint::from_safetensors(&weights, graph).is_err());
}
