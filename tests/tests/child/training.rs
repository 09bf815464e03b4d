//! Whole trainings on the embedded images.

use std::sync::atomic::AtomicBool;

use nasrl_child::data::{Dataset, ImageShape, Split, ValidationSplit};
use nasrl_child::recipe::{Order, Precision, Schedule as Rate};
use nasrl_child::{
    Part, Recipe, Schedule, Test, Throughput, TrainError, Trained, Training, Weights, WeightsError,
    evaluate, throughput, train,
};
use nasrl_space::{Graph, Image, Space};

fn embedded() -> Dataset {
    Dataset::embedded(ValidationSplit::Standard).unwrap()
}

fn child(tokens: &str) -> Graph {
    let space = Space::reference();
    let image = Image { height: 28, width: 28, channels: 1 };
    space.build(&space.parse(tokens).unwrap(), image, 10).unwrap()
}

fn small_child() -> Graph {
    child("3,16,3,16,3,16,3,16")
}

fn recipe(epochs: usize) -> Recipe {
    Recipe { epochs, learning_rate: 0.005, ..Recipe::reference() }
}

fn training<'a>() -> Training<'a> {
    Training { seed: 1, trial: 2, threads: 2, ..Training::default() }
}

/// One epoch of 63 steps; a network that guesses has 10 %.
#[test]
fn a_small_child_learns_in_one_epoch_in_both_precisions() {
    for precision in [Precision::F32, Precision::Bf16] {
        let recipe = Recipe { precision, ..recipe(1) };
        let mut reported = Vec::new();
        let trained = train(
            &small_child(),
            &recipe,
            &embedded(),
            Training {
                on_epoch: Some(&mut |epoch| reported.push(*epoch)),
                log_every: 10,
                test: Test::Measure,
                ..training()
            },
        )
        .unwrap();
        assert_eq!(reported, trained.epochs);
        let epoch = trained.epochs[0];
        assert!(epoch.validation_accuracy.unwrap() > 0.5, "{precision:?}: {epoch:?}");
        assert!(trained.test_accuracy.unwrap() > 0.5, "{precision:?}: {trained:?}");
        assert!(epoch.images_per_second > 0.0);
        let steps: Vec<u64> = trained.losses.iter().map(|loss| loss.step).collect();
        assert_eq!(steps, [10, 20, 30, 40, 50, 60]);
        assert!(trained.losses[0].loss > trained.losses[5].loss);
    }
}

#[test]
fn seed_and_trial_decide_everything_and_threads_nothing() {
    let dataset = embedded();
    let run = |seed, trial, threads| {
        let training = Training { seed, trial, threads, steps: Some(5), ..Training::default() };
        train(&small_child(), &recipe(1), &dataset, training).unwrap().weights
    };
    let first = run(1, 2, 1);
    assert_eq!(first, run(1, 2, 1));
    assert_eq!(first, run(1, 2, 2));
    assert_ne!(first, run(2, 2, 1));
    assert_ne!(first, run(1, 3, 1));
}

#[test]
fn saved_weights_continue_with_the_same_bits() {
    let (graph, dataset) = (small_child(), embedded());
    let trained = train(&graph, &recipe(1), &dataset, training()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("child.safetensors");
    trained.weights.save(&path).unwrap();
    let loaded = Weights::load(&path, &graph).unwrap();
    assert_eq!(loaded, trained.weights);
    for part in [Part::Training, Part::Validation, Part::Test] {
        let [before, after] = [&trained.weights, &loaded]
            .map(|weights| evaluate(&graph, &recipe(1), &dataset, weights, part).unwrap());
        assert_eq!(before, after);
        assert!(before.is_some());
    }
    let validation = evaluate(&graph, &recipe(1), &dataset, &loaded, Part::Validation).unwrap();
    assert_eq!(
        validation.map(|evaluation| evaluation.accuracy),
        trained.epochs[0].validation_accuracy
    );

    let continued = |weights| {
        let training = Training { weights: Some(weights), steps: Some(3), ..training() };
        train(&graph, &recipe(1), &dataset, training).unwrap().weights
    };
    assert_eq!(continued(&loaded), continued(&trained.weights));
    assert_ne!(continued(&loaded), loaded);
}

/// The split's 1,000 images are no multiple of a batch, a group or a block.
#[test]
fn accuracies_do_not_depend_on_how_a_split_is_cut() {
    let (graph, dataset) = (small_child(), embedded());
    let weights = Weights::initial(&graph, 1, 1);
    let accuracy = |batch| {
        let recipe = Recipe { batch, ..recipe(1) };
        evaluate(&graph, &recipe, &dataset, &weights, Part::Validation).unwrap().unwrap().accuracy
    };
    let whole = accuracy(1000);
    assert_eq!(whole, accuracy(128));
    assert_eq!(whole, accuracy(7));
}

#[test]
fn batch_norm_trains_and_its_statistics_serve_the_evaluation() {
    let space = Space::reference().with_batch_norm().unwrap();
    let image = Image { height: 28, width: 28, channels: 1 };
    let tokens = space.parse("3,16,3,16,3,16,3,16").unwrap();
    let graph = space.build(&tokens, image, 10).unwrap();
    assert!(graph.parameter_specs().iter().any(|spec| spec.name.ends_with("running_mean")));
    for precision in [Precision::F32, Precision::Bf16] {
        let recipe = Recipe { precision, ..recipe(1) };
        let trained = train(&graph, &recipe, &embedded(), training()).unwrap();
        let accuracy = trained.epochs[0].validation_accuracy.unwrap();
        assert!(accuracy > 0.65, "{precision:?}: {accuracy}");
    }
}

#[test]
fn a_fixed_order_and_a_rate_of_zero_repeat_the_same_losses() {
    let recipe = Recipe {
        learning_rate: 0.0,
        order: Order::Fixed,
        schedule: Rate::Cosine { last: 0.5 },
        ..recipe(2)
    };
    let training = Training { log_every: 1, ..training() };
    let Trained { epochs, losses, .. } =
        train(&small_child(), &recipe, &embedded(), training).unwrap();
    let (first, second) = losses.split_at(losses.len() / 2);
    assert!(first.iter().map(|step| step.loss).eq(second.iter().map(|step| step.loss)));
    assert_eq!(epochs[0].loss, epochs[1].loss);
    // 8,000 images in steps of 128: the last one has 64.
    assert_eq!(losses.len(), 126);
    let (loss, batch) = (epochs[0].loss, 128.0);
    let mean = first
        .iter()
        .enumerate()
        .map(|(index, step)| f64::from(step.loss) * if index == 62 { 64.0 } else { batch });
    assert!((mean.sum::<f64>() / 8_000.0 - loss).abs() < 1e-9);
}

#[test]
fn failures_are_typed() {
    let dataset = embedded();
    let cancel = AtomicBool::new(true);
    let cancelled = Training { cancel: Some(&cancel), ..training() };
    let error = train(&small_child(), &recipe(1), &dataset, cancelled).unwrap_err();
    assert!(matches!(error, TrainError::Cancelled), "{error}");

    let wild = Recipe { learning_rate: 1e30, ..recipe(1) };
    let error = train(&small_child(), &wild, &dataset, training()).unwrap_err();
    let TrainError::Nan { epoch: 1, step, loss } = error else { panic!("{error}") };
    assert!((2..=4).contains(&step) && !loss.is_finite(), "step {step}, loss {loss}");

    let other = Weights::initial(&child("3,16,3,16,3,16,3,32"), 0, 0);
    let wrong = Training { weights: Some(&other), ..training() };
    let error = train(&small_child(), &recipe(1), &dataset, wrong).unwrap_err();
    assert!(
        matches!(&error, TrainError::Weights(WeightsError::OtherGraph { found, .. })
            if found.starts_with("layer4.conv.weight")),
        "{error}"
    );

    let error = train(&small_child(), &recipe(0), &dataset, training()).unwrap_err();
    assert!(matches!(&error, TrainError::Recipe(error) if error.key == "epochs"), "{error}");

    let schedule = Schedule { threads: 1, block: 0, group: 16 };
    let nothing = Training { schedule: Some(schedule), ..training() };
    let error = train(&small_child(), &recipe(1), &dataset, nothing).unwrap_err();
    assert!(matches!(error, TrainError::Schedule { .. }), "{error}");

    let shape = ImageShape { height: 4, width: 4, channels: 1 };
    let split = Split::new(shape, vec![0; 32], vec![0, 1]).unwrap();
    let classes = vec!["a".to_string(), "b".to_string()];
    let tiny = Dataset::from_splits(classes, split, None, None).unwrap();
    let error = train(&small_child(), &recipe(1), &tiny, training()).unwrap_err();
    assert!(matches!(error, TrainError::Images { .. }), "{error}");
    let space = Space::reference();
    let image = Image { height: 4, width: 4, channels: 1 };
    let graph = space.build(&space.parse("1,16,1,16,1,16,1,16").unwrap(), image, 10).unwrap();
    let error = train(&graph, &recipe(1), &tiny, training()).unwrap_err();
    assert!(matches!(error, TrainError::Classes { network: 10, dataset: 2 }), "{error}");
    let graph = space.build(&space.parse("1,16,1,16,1,16,1,16").unwrap(), image, 2).unwrap();
    let trained = train(&graph, &recipe(1), &tiny, training()).unwrap();
    assert_eq!(trained.epochs[0].validation_accuracy, None);
    assert_eq!(trained.test_accuracy, None);
}

#[test]
fn throughput_adds_up_over_children() {
    let options = Throughput { steps: 2, repeats: 2, jobs: 2, threads: 1 };
    let recipe = Recipe { batch: 32, ..Recipe::reference() };
    let rate = throughput(&small_child(), &recipe, &options).unwrap();
    assert!(rate.is_finite() && rate > 0.0, "{rate}");
}
