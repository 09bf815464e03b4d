//! A network, weights and images, run by a program and by the interpreter.

use std::collections::HashMap;

use nasrl_child::data::{ImageShape, Split};
use nasrl_child::recipe::Precision;
use nasrl_child::{Batch, Lowering, Program, ProgramOptions, Recipe, Schedule, Score, Weights};
use nasrl_space::{Graph, NodeId, Op, ParameterRole, ParameterSpec};
use nasrl_tensor::Cpu;
use nasrl_tensor::random::{Key, philox4x32};
use nasrl_tests::Inputs;

use crate::graphs::CLASSES;
use crate::interpreter::{Examples, Interpreter, Mode, Pass};

/// A network with something to compute.
pub(crate) struct Problem {
    pub(crate) graph: Graph,
    pub(crate) weights: Weights,
    pub(crate) split: Split,
    /// The batch: images of the split in some order.
    pub(crate) indices: Vec<u32>,
}

/// How a program runs it.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) backend: Cpu,
    pub(crate) lowering: Lowering,
    pub(crate) precision: Precision,
    pub(crate) schedule: Schedule,
}

/// What a program made of a batch.
pub(crate) struct Found {
    pub(crate) score: Score,
    pub(crate) gradients: Weights,
}

/// Of the run and the trial, for dropout.
const SEED: u64 = 5;
const TRIAL: u64 = 7;

impl Problem {
    /// Random weights and images for a network.
    pub(crate) fn new(graph: Graph, images: usize, seed: u64) -> Self {
        let mut inputs = Inputs::new(seed);
        let parameters = random_parameters(&graph, &mut inputs);
        let mut weights = Weights::initial(&graph, SEED, TRIAL);
        for (spec, values) in weights.values_mut() {
            let from = &parameters[&spec.name];
            values.iter_mut().zip(from).for_each(|(value, from)| *value = *from as f32);
        }
        let image = graph.input_shape();
        let shape =
            ImageShape { height: image.height, width: image.width, channels: image.channels };
        let count = images + 3;
        let bytes = inputs.indices(count * image.elements(), 256);
        let bytes = bytes.into_iter().map(|byte| byte as u8).collect();
        let split = Split::new(shape, bytes, inputs.indices(count, CLASSES)).unwrap();
        let indices = inputs.indices(images, count);
        Problem { graph, weights, split, indices }
    }

    /// A program with the problem's weights.
    pub(crate) fn program(&self, run: &Run) -> Program<Cpu> {
        let recipe = self.recipe(run);
        let options = ProgramOptions {
            lowering: run.lowering,
            schedule: run.schedule,
            input: recipe.input(&self.split),
            seed: SEED,
            trial: TRIAL,
        };
        let mut program = Program::new(&run.backend, &self.graph, &recipe, &options).unwrap();
        program.load(&self.weights).unwrap();
        program
    }

    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch { split: &self.split, indices: &self.indices }
    }

    /// Loss and gradients by a program.
    pub(crate) fn train(&self, run: &Run) -> Found {
        let mut program = self.program(run);
        let score = program.backpropagate(&self.batch()).unwrap();
        Found { score, gradients: program.gradients().unwrap() }
    }

    /// Loss and gradients by the interpreter, with the masks that dropout documents.
    pub(crate) fn reference(&self) -> Pass {
        self.interpret(Mode::Training(&|node, element| self.dropout(node, element)))
    }

    /// Loss and correct answers by the interpreter, as inference has them.
    pub(crate) fn inference_reference(&self) -> Pass {
        self.interpret(Mode::Inference)
    }

    fn recipe(&self, run: &Run) -> Recipe {
        let batch = self.indices.len() + 5;
        Recipe { batch, precision: run.precision, ..Recipe::reference() }
    }

    fn interpret(&self, mode: Mode<'_>) -> Pass {
        let images: Vec<f64> = self
            .indices
            .iter()
            .flat_map(|&index| self.split.image(index as usize))
            .map(|&byte| f64::from(byte) / 255.0)
            .collect();
        let labels: Vec<u32> =
            self.indices.iter().map(|&index| self.split.labels()[index as usize]).collect();
        let named = self.weights.specs().iter().zip(self.weights.values());
        let parameters = named.map(|(spec, values)| {
            (spec.name.clone(), values.iter().map(|&value| f64::from(value)).collect())
        });
        let interpreter = Interpreter {
            graph: &self.graph,
            parameters: parameters.collect(),
            mode,
            epsilon: f64::from(Recipe::reference().batch_norm.epsilon as f32),
        };
        interpreter.run(Examples { images: &images, labels: &labels })
    }

    /// The factor of an element in the first step, as [`nasrl_tensor::ops::Dropout`] defines it.
    fn dropout(&self, node: NodeId, element: usize) -> f64 {
        let node = self.graph.node(node);
        let Op::Dropout(dropout) = node.op else { return 1.0 };
        let key = Key::new(SEED, TRIAL, &format!("dropout {}", node.name));
        let word = philox4x32(key, [(element / 4) as u32, 0, 0, 0])[element % 4];
        let dropped = f64::from(word) < dropout.rate * f64::powi(2.0, 32);
        if dropped { 0.0 } else { 1.0 / (1.0 - dropout.rate) }
    }
}

impl Run {
    /// On the best instruction set, fused, in f32.
    pub(crate) fn new(threads: usize, block: usize, group: usize) -> Self {
        Run {
            backend: Cpu::serial(),
            lowering: Lowering::Fused,
            precision: Precision::F32,
            schedule: Schedule { threads, block, group },
        }
    }
}

impl Found {
    /// Panics unless every gradient is within `tolerance` times the greatest of its parameter, or
    /// a tenth of the greatest of all: those that vanish in exact arithmetic, such as of a
    /// bias before batch normalisation, are rounding errors of others.
    #[track_caller]
    pub(crate) fn assert_gradients(
        &self,
        what: &str,
        expected: &HashMap<String, Vec<f64>>,
        tolerance: f64,
    ) {
        let greatest = |values: &[f64]| values.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        let of_all = expected.values().map(|values| greatest(values)).fold(0.0, f64::max);
        let found = self.gradients.specs().iter().zip(self.gradients.values());
        for (spec, found) in found.filter(|(spec, _)| spec.role.is_trainable()) {
            let expected = &expected[&spec.name];
            let bound = tolerance * greatest(expected).max(0.1 * of_all);
            for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
                assert!(
                    (f64::from(found) - expected).abs() <= bound,
                    "{what}: {}[{index}]: found {found:e}, expected {expected:e} within {bound:e}",
                    spec.name
                );
            }
        }
    }
}

/// Parameters of a size that keeps activations around 1, and statistics of all kinds.
pub(crate) fn random_parameters(graph: &Graph, inputs: &mut Inputs) -> HashMap<String, Vec<f64>> {
    let values = |spec: ParameterSpec| {
        let count: usize = spec.shape.iter().product();
        let outputs = match spec.role {
            ParameterRole::Filters | ParameterRole::DepthwiseFilters => spec.shape[0],
            ParameterRole::DenseWeight => spec.shape[1],
            _ => 1,
        };
        let fan_in = count / outputs;
        let uniform = inputs.uniform(count).into_iter().map(|x| match spec.role {
            ParameterRole::Filters
            | ParameterRole::DepthwiseFilters
            | ParameterRole::DenseWeight => x * (4.0 / fan_in as f32).sqrt(),
            ParameterRole::Gamma | ParameterRole::RunningVariance => 1.0 + 0.5 * x,
            _ => 0.3 * x,
        });
        let values = uniform.map(f64::from).collect();
        (spec.name, values)
    };
    graph.parameter_specs().into_iter().map(values).collect()
}
