//! Images for networks of every shape.

use nasrl_child::data::{ImageShape, Split};
use nasrl_space::{Graph, Image};
use nasrl_tests::Inputs;

use crate::graphs::CLASSES;

/// Images of a network's own shape.
pub(crate) fn images(graph: &Graph, count: usize) -> Split {
    let Image { height, width, channels } = graph.input_shape();
    let shape = ImageShape { height, width, channels };
    let mut inputs = Inputs::new(7);
    let bytes = inputs.indices(count * height * width * channels, 256);
    let bytes = bytes.into_iter().map(|byte| byte as u8).collect();
    Split::new(shape, bytes, inputs.indices(count, CLASSES)).unwrap()
}
