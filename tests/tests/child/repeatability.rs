//! Bits that depend neither on the threads nor, where the arithmetic is the same, on the lowering.

use nasrl_child::recipe::{Augmentation, Crop, Flip, Normalisation, Optimizer, Precision};
use nasrl_child::{Batch, Lowering, Program, ProgramOptions, Recipe, Schedule, Weights};
use nasrl_space::{Graph, Image};
use nasrl_tensor::Cpu;

use crate::graphs::{random_graph, reference_child};
use crate::problem::{Problem, Run};

/// Losses of some steps with everything random that there is, and the weights after them.
fn train(problem: &Problem, recipe: &Recipe, run: &Run) -> (Vec<f32>, Weights) {
    let Problem { graph, split, .. } = problem;
    let options = ProgramOptions {
        lowering: run.lowering,
        schedule: run.schedule,
        input: recipe.input(split),
        seed: 3,
        trial: 4,
    };
    let mut program = Program::new(&run.backend, graph, recipe, &options).unwrap();
    program.load(&problem.weights).unwrap();
    let indices: Vec<u32> = (0..split.len() as u32).collect();
    let mut losses = Vec::new();
    for indices in indices.chunks(recipe.batch).cycle().take(5) {
        losses.push(program.backpropagate(&Batch { split, indices }).unwrap().loss);
        program.update(0.01).unwrap();
    }
    (losses, program.weights().unwrap())
}

#[test]
fn bits_do_not_depend_on_the_threads() {
    let image = Image { height: 8, width: 8, channels: 3 };
    let mut graphs = vec![reference_child("3,16,3,32,1,16,3,16", image)];
    graphs.extend((0..8).map(|seed| random_graph(seed, 12)));
    for (number, graph) in graphs.into_iter().enumerate() {
        let problem = Problem::new(graph, 30, number as u64);
        for precision in [Precision::F32, Precision::Bf16] {
            for (block, group) in [(1, 4), (3, 6), (4, 4), (16, 16)] {
                let recipe = Recipe {
                    batch: 19,
                    precision,
                    normalisation: Normalisation::Whitening,
                    augmentation: Augmentation {
                        crop: Crop::Pad { by: 2 },
                        flip: Flip::Horizontal,
                        cutout: 2,
                    },
                    ..Recipe::reference()
                };
                let run = |threads| Run { precision, ..Run::new(threads, block, group) };
                let alone = train(&problem, &recipe, &run(1));
                for threads in [2, 3] {
                    let together = train(&problem, &recipe, &run(threads));
                    assert!(
                        alone == together,
                        "graph {number}, {precision:?}, blocks of {block}, {threads} threads"
                    );
                }
            }
        }
    }
}

/// Without biases of convolutions, which one lowering adds before the products and the other
/// after them, both do the same arithmetic in f32.
#[test]
fn lowerings_have_the_same_bits_where_they_do_the_same_arithmetic() {
    let is_bias = |name: &str| name.ends_with(".bias") && !name.starts_with("head.");
    let plain_sums =
        |graph: &Graph| !graph.parameter_specs().iter().any(|spec| is_bias(&spec.name));
    let graphs: Vec<Graph> =
        (0..200).map(|seed| random_graph(seed, 12)).filter(plain_sums).collect();
    assert!(graphs.len() > 20, "{} networks without biases", graphs.len());
    for (number, graph) in graphs.into_iter().enumerate() {
        let problem = Problem::new(graph, 9, number as u64);
        let run = |lowering| Run { lowering, ..Run::new(1, 2, 4) };
        let [plain, fused] =
            [Lowering::Plain, Lowering::Fused].map(|lowering| problem.train(&run(lowering)));
        assert_eq!(plain.score, fused.score, "{}", problem.graph);
        assert!(plain.gradients == fused.gradients, "{}", problem.graph);
    }
}

/// The optimizers' formulas, as documented, in f64 on the gradients that the program had.
#[test]
fn optimizers_take_the_steps_of_their_formulas() {
    let image = Image { height: 6, width: 6, channels: 1 };
    let graph = reference_child("1,16,3,16,1,16,3,16", image);
    let problem = Problem::new(graph, 8, 1);
    let (decay, rate) = (0.01, 0.02);
    for optimizer in [
        Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
        Optimizer::Sgd { momentum: 0.9, nesterov: false },
        Optimizer::Sgd { momentum: 0.9, nesterov: true },
        Optimizer::RmsProp { decay: 0.9, momentum: 0.5, epsilon: 1e-10 },
    ] {
        let recipe = Recipe { batch: 8, optimizer, weight_decay: decay, ..Recipe::reference() };
        let options = ProgramOptions {
            lowering: Lowering::Fused,
            schedule: Schedule { threads: 2, block: 2, group: 4 },
            input: recipe.input(&problem.split),
            seed: 0,
            trial: 0,
        };
        let backend = Cpu::serial();
        let mut program = Program::new(&backend, &problem.graph, &recipe, &options).unwrap();
        program.load(&problem.weights).unwrap();
        let flat = |weights: &Weights| -> Vec<f64> {
            weights.values().iter().flatten().map(|&value| f64::from(value)).collect()
        };
        let mut expected = flat(&problem.weights);
        let mut memory = vec![[0.0; 2]; expected.len()];
        for step in 1..=3 {
            program.backpropagate(&problem.batch()).unwrap();
            let gradients = flat(&program.gradients().unwrap());
            program.update(rate).unwrap();
            for ((p, g), memory) in expected.iter_mut().zip(gradients).zip(&mut memory) {
                *p -= descent(optimizer, rate, step, g + decay * *p, memory);
            }
            for (found, expected) in flat(&program.weights().unwrap()).iter().zip(&expected) {
                assert!(
                    (found - expected).abs() <= 1e-5 * expected.abs().max(0.1),
                    "{optimizer:?}, step {step}: found {found}, expected {expected}"
                );
            }
        }
    }
}

/// What a step takes off a parameter with gradient `g`.
fn descent(optimizer: Optimizer, rate: f64, step: i32, g: f64, [a, b]: &mut [f64; 2]) -> f64 {
    match optimizer {
        Optimizer::Sgd { momentum, nesterov } => {
            *a = momentum * *a + g;
            rate * if nesterov { g + momentum * *a } else { *a }
        }
        Optimizer::Adam { beta1, beta2, epsilon } => {
            *a = beta1 * *a + (1.0 - beta1) * g;
            *b = beta2 * *b + (1.0 - beta2) * g * g;
            let [mean, square] = [*a / (1.0 - beta1.powi(step)), *b / (1.0 - beta2.powi(step))];
            rate * mean / (square.sqrt() + epsilon)
        }
        Optimizer::RmsProp { decay, momentum, epsilon } => {
            *b = decay * *b + (1.0 - decay) * g * g;
            *a = momentum * *a + rate * g / (*b + epsilon).sqrt();
            *a
        }
    }
}

/// The number of bytes counts what is allocated: more images in flight, more bytes.
#[test]
fn bytes_grow_with_what_is_kept() {
    let image = Image { height: 16, width: 16, channels: 3 };
    let graph = reference_child("3,32,3,32,3,32,3,32", image);
    let problem = Problem::new(graph, 27, 1);
    let bytes = |threads, block, group| problem.program(&Run::new(threads, block, group)).bytes();
    assert!(bytes(1, 8, 16) > bytes(1, 4, 16));
    assert!(bytes(2, 4, 16) > bytes(1, 4, 16));
    assert!(bytes(1, 4, 8) > bytes(1, 4, 16));
}
