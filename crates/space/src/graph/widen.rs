//! A network with more filters.

use super::op::{Conv2d, ConvolutionKind};
use super::{Graph, GraphBuilder, GraphError, NodeId, Op};

impl Graph {
    /// The same network with `by` filters more in every convolution but depthwise ones, which
    /// follow their input: how arXiv 1611.01578, section 4.1, makes its best network better still.
    /// Names stay.
    ///
    /// # Errors
    /// [`GraphError::Range`] if that is beyond all use, and [`GraphError::ShapeMismatch`] where an
    /// addition no longer finds equal shapes.
    pub fn widened(&self, by: usize) -> Result<Graph, GraphError> {
        let mut builder = GraphBuilder::new(self.input_shape())?;
        let mut ids: Vec<NodeId> = vec![builder.input()];
        for node in &self.nodes()[1..] {
            let op = match node.op {
                Op::Conv2d(conv @ Conv2d { kind: ConvolutionKind::Full { filters }, .. }) => {
                    let filters = filters.saturating_add(by);
                    Op::Conv2d(Conv2d { kind: ConvolutionKind::Full { filters }, ..conv })
                }
                op => op,
            };
            let inputs: Vec<NodeId> = node.inputs.iter().map(|input| ids[input.index()]).collect();
            ids.push(builder.add(node.name.clone(), op, &inputs)?);
        }
        Ok(builder.finish(ids[ids.len() - 1]))
    }
}

#[cfg(test)]
mod tests {
    use crate::{GraphError, Image, Space};

    #[test]
    fn every_convolution_gets_more_filters() {
        let space = Space::open("nas-rl-cnn").unwrap().at_depth(6).unwrap();
        let tokens = "3,3,24 / 3,5,36,1 / 7,1,48,01 / 1,1,24,101 / 3,3,64,1110 / 5,5,24,01010";
        let image = Image { height: 8, width: 8, channels: 3 };
        let graph = space.build(&space.parse(tokens).unwrap(), image, 10).unwrap();
        let wide = graph.widened(40).unwrap();
        let shapes = |name: &str| {
            [&graph, &wide].map(|graph| {
                graph.nodes().iter().find(|node| node.name == name).unwrap().shape.channels
            })
        };
        assert_eq!(shapes("layer1.conv"), [24, 64]);
        assert_eq!(shapes("layer5.concat"), [108, 228]);
        assert_eq!(shapes("head.dense"), [10, 10]);
        assert_eq!(graph.widened(0).unwrap(), graph);
        assert!(matches!(graph.widened(usize::MAX), Err(GraphError::Range { .. })));
    }
}
