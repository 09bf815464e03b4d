//! How a batch is cut into pieces of work.

use std::ops::Range;

use nasrl_space::{Graph, Op};

use crate::TrainError;
use crate::recipe::Precision;

/// How a batch is cut into pieces of work.
///
/// Blocks and groups decide in which order sums are made, and so the last bits of the results;
/// threads only decide what runs when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Threads that take groups in turn.
    pub threads: usize,
    /// Images that go through the network together.
    pub block: usize,
    /// Images whose gradients are summed up before those of other groups join.
    pub group: usize,
}

/// Images that go through the network together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Within its group.
    pub(crate) index: usize,
    /// Places in the batch.
    pub(crate) images: Range<usize>,
}

/// Eight groups of a batch of 128: enough for the threads to balance, few enough that adding up
/// their gradients costs next to nothing.
const GROUP: usize = 16;

/// What a stage's block may take, in bytes: a second-level cache of most processors.
const SECOND_LEVEL: usize = 1 << 20;

/// The same of a block that goes through all of a network: a core's share of the cache after it,
/// since more images have more of the work on filters in common.
const THIRD_LEVEL: usize = 4 << 20;

impl Schedule {
    /// For a CPU: as many images in a block as fit into a core's cache.
    ///
    /// Without batch normalisation that is with all their activations and gradients, so that those
    /// are still there when the backward pass asks for them. With it every layer ends a stage, and
    /// its input, output and gradient are what counts.
    pub fn cpu(graph: &Graph, precision: Precision, threads: usize) -> Self {
        let elements = graph.nodes().iter().map(|node| node.shape.elements());
        let normalised = graph.nodes().iter().any(|node| node.op == Op::BatchNorm);
        let (elements, cache) = match normalised {
            true => (3 * elements.max().unwrap_or(1), SECOND_LEVEL),
            false => (2 * elements.sum::<usize>(), THIRD_LEVEL),
        };
        let size = match precision {
            Precision::F32 => 4,
            Precision::Bf16 => 2,
        };
        let fit = (cache / (size * elements).max(1)).clamp(1, GROUP);
        Schedule { threads: threads.max(1), block: 1 << fit.ilog2(), group: GROUP }
    }

    /// For a GPU: the whole batch at once.
    pub fn gpu(batch: usize) -> Self {
        Schedule { threads: 1, block: batch.max(1), group: batch.max(1) }
    }

    /// The same cuts of batches of at most `batch` images, with no room for more.
    ///
    /// # Errors
    /// [`TrainError::Schedule`] if there is nothing of something.
    pub(crate) fn for_batch(self, batch: usize) -> Result<Self, TrainError> {
        let Schedule { threads, block, group } = self;
        if threads.min(block).min(group) == 0 {
            return Err(TrainError::Schedule { threads, block, group });
        }
        let group = group.min(batch);
        Ok(Schedule { threads, block: block.min(group), group })
    }

    /// Whether a group is one block, so that nothing is added to its gradients.
    pub(crate) fn has_single_blocks(&self) -> bool {
        self.block >= self.group
    }

    /// The blocks of a group of a batch of `images`, in order.
    pub(crate) fn blocks(
        &self,
        images: usize,
        group: usize,
    ) -> impl Iterator<Item = Block> + use<> {
        let size = self.block;
        let start = group * self.group;
        let end = images.min(start.saturating_add(self.group));
        let starts = (start..end).step_by(size).enumerate();
        starts.map(move |(index, first)| Block { index, images: first..end.min(first + size) })
    }
}

impl Block {
    /// How many images it has.
    pub(crate) fn len(&self) -> usize {
        self.images.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_cut_to_the_batch_and_cuts_stay() {
        for (block, group) in [(1, 1), (4, 16), (5, 16), (16, 24), (64, 16), (1, usize::MAX)] {
            let schedule = Schedule { threads: 1, block, group };
            for batch in [1, 7, 16, 20, 100] {
                let fitted = schedule.for_batch(batch).unwrap();
                assert!(fitted.block <= fitted.group && fitted.group <= batch);
                for images in 1..=batch {
                    let groups = images.div_ceil(fitted.group);
                    assert_eq!(groups, images.div_ceil(group), "{schedule:?} of {images}");
                    let blocks = |cut: Schedule| {
                        (0..groups)
                            .flat_map(|number| cut.blocks(images, number))
                            .collect::<Vec<_>>()
                    };
                    assert_eq!(blocks(fitted), blocks(schedule), "{schedule:?} of {images}");
                }
            }
        }
    }
}
