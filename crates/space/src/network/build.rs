//! From settled blocks to a layer graph: who reads whom, and the repair of what does not fit.

use super::Network;
use super::settled::{Choice, Settled};
use crate::{Dense, Extent, Graph, GraphBuilder, GraphError, Image, NodeId, Op, Sides, Tokens};

impl Network {
    /// The layer graph for one choice of everything, with the repair of arXiv 1611.01578,
    /// section 3.3: a layer that reads no other reads the image; what no layer reads goes to the
    /// head; of results that are concatenated the smaller ones get zeros around them.
    pub(crate) fn build(
        &self,
        tokens: &Tokens,
        input: Image,
        classes: usize,
    ) -> Result<Graph, GraphError> {
        let Choice { stem, layers, head } = self.settle(tokens);
        let mut builder = GraphBuilder::new(input)?;
        let mut image = builder.input();
        if let Some(stem) = &stem {
            image = stem.add_to(&mut builder, image)?;
        }
        let mut results: Vec<NodeId> = Vec::new();
        let mut is_read = vec![false; layers.len()];
        for layer in &layers {
            layer.sources.iter().for_each(|&source| is_read[source] = true);
            let sources = select(&layer.sources, &results);
            let x = match sources.is_empty() {
                true => image,
                false => join(&mut builder, &layer.settled.block.name, &sources)?,
            };
            results.push(layer.settled.add_to(&mut builder, x)?);
        }
        let loose: Vec<usize> = (0..layers.len()).filter(|&layer| !is_read[layer]).collect();
        let mut last = join(&mut builder, "head", &select(&loose, &results))?;
        last = builder.add("head.pool", Op::GlobalAveragePool, &[last])?;
        if let Some(dropout) = head.dropout() {
            last = builder.add("head.dropout", dropout, &[last])?;
        }
        let output = builder.add("head.dense", Op::Dense(Dense { units: classes }), &[last])?;
        Ok(builder.finish(output))
    }
}

/// A layer's number, counted from 1, and its result.
type Source = (usize, NodeId);

fn select(layers: &[usize], results: &[NodeId]) -> Vec<Source> {
    layers.iter().map(|&layer| (layer + 1, results[layer])).collect()
}

/// The concatenation of results, one or more, each in the middle of the largest extent: where the
/// rest is odd, the additional row or column is below or to the right. (Where the zeros go the
/// paper does not say.)
fn join(builder: &mut GraphBuilder, block: &str, sources: &[Source]) -> Result<NodeId, GraphError> {
    if let &[(_, only)] = sources {
        return Ok(only);
    }
    let extents: Vec<Extent> =
        sources.iter().map(|&(_, result)| builder.shape(result).extent()).collect();
    let height = extents.iter().map(|extent| extent.height).max().unwrap_or(0);
    let width = extents.iter().map(|extent| extent.width).max().unwrap_or(0);
    let mut parts = Vec::new();
    for (&(number, result), extent) in sources.iter().zip(extents) {
        let (rows, columns) = (height - extent.height, width - extent.width);
        let sides = Sides {
            top: rows / 2,
            bottom: rows - rows / 2,
            left: columns / 2,
            right: columns - columns / 2,
        };
        parts.push(match sides.is_zero() {
            true => result,
            false => builder.add(format!("{block}.pad{number}"), Op::ZeroPad(sides), &[result])?,
        });
    }
    builder.add(format!("{block}.concat"), Op::Concat, &parts)
}

impl Settled<'_> {
    /// Adds the block's operations. Of several convolutions each reads what the block is given and
    /// all before it; the block's result is what they compute, side by side.
    fn add_to(&self, builder: &mut GraphBuilder, x: NodeId) -> Result<NodeId, GraphError> {
        let name = &self.block.name;
        let mut parts = vec![(0, x)];
        let repeats = self.repeats();
        for number in 1..=repeats {
            let name = if repeats == 1 { name.clone() } else { format!("{name}.{number}") };
            let mut last = join(builder, &name, &parts)?;
            for (step, op) in self.convolution() {
                last = builder.add(format!("{name}.{step}"), op, &[last])?;
            }
            parts.push((number, last));
        }
        let mut last = join(builder, &format!("{name}.block"), &parts[1..])?;
        for (step, op) in self.rest() {
            last = builder.add(format!("{name}.{step}"), op, &[last])?;
        }
        Ok(last)
    }
}
