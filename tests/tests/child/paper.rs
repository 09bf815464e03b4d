//! Children of the paper's space: deep, with skip connections, zero padding and concatenations.

use nasrl_child::Lowering;
use nasrl_space::Image;

use crate::graphs::paper_child;
use crate::problem::{Problem, Run};

/// Up to twenty layers of convolution, batch normalisation and relu in f32, relative to the greatest
/// gradient of a parameter: batch normalisation over a few rows that are nearly equal amplifies the
/// roundings at every layer.
const DEEP: f64 = 2e-4;

/// The two lowerings differ in the order of sums only.
const BETWEEN_LOWERINGS: f64 = 1e-5;

const IMAGE: Image = Image { height: 5, width: 5, channels: 3 };
const IMAGES: usize = 5;

#[test]
fn twenty_architectures_of_all_depths_compute_what_the_interpreter_does() {
    for number in 0..20 {
        let depth = 6 + 14 * number / 19;
        let problem = Problem::new(paper_child(number as u64, depth, IMAGE), IMAGES, 1);
        let expected = problem.reference();
        let losses = [Lowering::Plain, Lowering::Fused].map(|lowering| {
            let run = Run { lowering, ..Run::new(2, 2, 4) };
            let found = problem.train(&run);
            let what = format!("architecture {number} of {depth} layers, {lowering:?}");
            let error = (f64::from(found.score.loss) - expected.loss).abs();
            assert!(error <= 1e-5 * expected.loss, "{what}: loss is off by {error:e}");
            assert_eq!(found.score.correct, expected.correct, "{what}");
            found.assert_gradients(&what, &expected.gradients, DEEP);
            f64::from(found.score.loss)
        });
        let difference = (losses[0] - losses[1]).abs() / losses[0];
        assert!(difference <= BETWEEN_LOWERINGS, "architecture {number}: {losses:?}");
    }
}
