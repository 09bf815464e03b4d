//! The interpreter itself, against finite differences of its loss.

use nasrl_space::Image;
use nasrl_tests::{Inputs, finite_difference};

use crate::graphs::{CLASSES, random_graph, reference_child};
use crate::interpreter::{Examples, Interpreter, Mode};
use crate::problem::random_parameters;

/// Central differences with a step of 1e-5 in f64: the error of the rule is about 1e-9, that of
/// rounding 1e-10; a maximum or a relu that changes sides within the step shows as more, and does
/// not happen for these seeds.
const TOLERANCE: f64 = 1e-6;

#[test]
fn gradients_of_the_interpreter_agree_with_finite_differences() {
    let image = Image { height: 6, width: 5, channels: 2 };
    let mut graphs = vec![reference_child("3,16,1,16,3,16,3,16", image)];
    graphs.extend((0..25).map(|seed| random_graph(seed, 10)));
    for (number, graph) in graphs.iter().enumerate() {
        let mut inputs = Inputs::new(number as u64);
        let n = 3;
        let uniform = inputs.uniform(n * graph.input_shape().elements());
        let images: Vec<f64> = uniform.into_iter().map(f64::from).collect();
        let labels = inputs.indices(n, CLASSES);
        let examples = Examples { images: &images, labels: &labels };
        let mask = |_, index: usize| if index.is_multiple_of(3) { 0.0 } else { 1.5 };
        let interpreter = Interpreter {
            graph,
            parameters: random_parameters(graph, &mut inputs),
            mode: Mode::Training(&mask),
            epsilon: 1e-3,
        };
        let gradients = interpreter.run(examples).gradients;
        let trained = graph.parameter_specs().into_iter().filter(|spec| spec.role.is_trainable());
        for spec in trained {
            let values = &interpreter.parameters[&spec.name];
            // The first, the last and some in between: all of them would take minutes.
            let places: Vec<usize> = (0..values.len()).step_by(1 + values.len() / 5).collect();
            let start: Vec<f64> = places.iter().map(|&place| values[place]).collect();
            let differences = finite_difference(&start, 1e-5, |point| {
                let mut moved = interpreter.clone();
                let values = moved.parameters.get_mut(&spec.name).unwrap();
                places.iter().zip(point).for_each(|(&place, &value)| values[place] = value);
                moved.run(examples).loss
            });
            for (&place, difference) in places.iter().zip(differences) {
                let found = gradients[&spec.name][place];
                assert!(
                    (found - difference).abs() <= TOLERANCE * (1.0 + difference.abs()),
                    "graph {number}: {}[{place}]: {found:e}, by differences {difference:e}",
                    spec.name
                );
            }
        }
    }
}
