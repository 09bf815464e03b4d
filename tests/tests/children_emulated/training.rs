//! Children that are trained on the processor and on the emulated GPU from one seed.

use std::sync::Arc;

use nasrl_child::data::{Dataset, ImageShape, ValidationSplit};
use nasrl_child::recipe::{Augmentation, Crop, Flip, Normalisation, Optimizer, Precision};
use nasrl_child::{Batch, Training, train, train_on};
use nasrl_child::{Lowering, Program, ProgramOptions, Recipe, Schedule, Weights};
use nasrl_space::{Graph, Image};
use nasrl_tensor::{Backend, Cpu};
use nasrl_tests::emulated;

use crate::graphs::{
    CLASSES, normalised_child, paper_child, random_graph, reference_child, skipping_child,
};
use crate::images::images;

/// With everything random that there is.
fn recipe(precision: Precision) -> Recipe {
    Recipe {
        epochs: 2,
        batch: 16,
        learning_rate: 0.01,
        optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: true },
        weight_decay: 1e-3,
        precision,
        normalisation: Normalisation::PerChannel,
        augmentation: Augmentation { crop: Crop::Pad { by: 1 }, flip: Flip::Horizontal, cutout: 2 },
        ..Recipe::reference()
    }
}

/// The losses of eight steps on 64 images.
fn losses<B: Backend>(on: &B, graph: &Graph, recipe: &Recipe, lowering: Lowering) -> Vec<f32> {
    let split = images(graph, 64);
    let schedule = Schedule::gpu(recipe.batch);
    let input = recipe.input(&split);
    let options = ProgramOptions { lowering, schedule, input, seed: 3, trial: 4 };
    let mut program = Program::new(on, graph, recipe, &options).unwrap();
    program.load(&Weights::initial(graph, 3, 4)).unwrap();
    let indices: Vec<u32> = (0..64).collect();
    let mut losses = Vec::new();
    for indices in indices.chunks(recipe.batch).cycle().take(8) {
        let batch = Batch { split: &split, indices };
        losses.push(program.backpropagate(&batch).unwrap().loss);
        program.update(recipe.learning_rate).unwrap();
    }
    losses
}

/// The largest difference between losses, relative to those of the processor.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    let pairs = found.iter().zip(expected);
    pairs.map(|(found, expected)| (found - expected).abs() / expected).fold(0.0, f32::max)
}

/// Both sum the same products in another order; steps amplify that.
const F32: f32 = 1e-4;
/// An activation on the border between two bf16 values may be rounded to either.
const BF16: f32 = 2e-2;

fn agree(graph: &Graph, name: &str) {
    for (precision, tolerance) in [(Precision::F32, F32), (Precision::Bf16, BF16)] {
        let recipe = recipe(precision);
        for lowering in [Lowering::Plain, Lowering::Fused] {
            let expected = losses(&Cpu::serial(), graph, &recipe, lowering);
            for gpu in emulated() {
                let found = losses(&gpu, graph, &recipe, lowering);
                let difference = difference(&found, &expected);
                assert!(
                    difference <= tolerance,
                    "{name}, {precision:?}, {lowering:?}: {difference:e}, {found:?}, {expected:?}"
                );
                assert_eq!(losses(&gpu, graph, &recipe, lowering), found, "{name}: not repeatable");
            }
        }
    }
}

const IMAGE: Image = Image { height: 8, width: 8, channels: 3 };

#[test]
fn a_child_of_the_reference_space_trains_step_by_step_as_on_the_processor() {
    agree(&reference_child("3,16,1,32,3,16,1,16", IMAGE), "reference");
}

#[test]
fn children_of_the_papers_space_train_step_by_step_as_on_the_processor() {
    for seed in [0, 1] {
        agree(&paper_child(seed, 6, IMAGE), &format!("paper {seed}"));
    }
    agree(&skipping_child(IMAGE), "paper, skipping");
}

/// What a GPU folds into its convolutions: with an input that is concatenated twice too, whose
/// gradient one pass cannot add to itself.
#[test]
fn concatenations_of_normalised_layers_train_step_by_step_as_on_the_processor() {
    for concatenated in [&[0, 1][..], &[1, 0, 1], &[0, 0, 0]] {
        agree(&normalised_child(concatenated, IMAGE), &format!("concatenated {concatenated:?}"));
    }
}

#[test]
fn networks_of_every_operation_train_step_by_step_as_on_the_processor() {
    for seed in 0..6 {
        agree(&random_graph(seed, 8), &format!("random {seed}"));
    }
}

#[test]
fn a_whole_training_comes_to_the_same_accuracies() {
    let graph = reference_child("3,16,1,16,3,16,1,16", IMAGE);
    let mut dataset = Dataset::embedded(ValidationSplit::Standard).unwrap();
    dataset.shape = ImageShape { height: 8, width: 8, channels: 3 };
    dataset.classes.truncate(CLASSES);
    dataset.train = Arc::new(images(&graph, 64));
    dataset.validation = Some(Arc::new(images(&graph, 20)));
    let recipe = recipe(Precision::F32);
    let training = || Training { seed: 1, trial: 2, log_every: 1, ..Training::default() };
    let expected = train(&graph, &recipe, &dataset, training()).unwrap();
    for gpu in emulated() {
        let schedule = Some(Schedule::gpu(recipe.batch));
        let training = Training { schedule, ..training() };
        let found = train_on(&gpu, &graph, &recipe, &dataset, training).unwrap();
        for (found, expected) in found.epochs.iter().zip(&expected.epochs) {
            assert_eq!(found.training_accuracy, expected.training_accuracy);
            assert_eq!(found.validation_accuracy, expected.validation_accuracy);
        }
        let values = |trained: &nasrl_child::Trained| -> Vec<f32> {
            trained.losses.iter().map(|step| step.loss).collect()
        };
        assert!(difference(&values(&found), &values(&expected)) <= F32);
    }
}
