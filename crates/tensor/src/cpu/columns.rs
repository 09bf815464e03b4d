//! Loops over rows of channels whose inner loop is long enough to vectorise, whatever the number
//! of channels: as many rows as fill [`LANES`] elements are taken as one wide row.

/// Elements of a wide row: a few kilobytes with their sums, well within the first-level cache.
const LANES: usize = 256;

/// Elements of a block of rows whose sums are made in one go; a quarter of a second-level cache.
const BLOCK: usize = 32 * 1024;

/// Rows of this many channels, taken together to wide rows.
pub(super) struct Columns {
    channels: usize,
    width: usize,
}

impl Columns {
    pub(super) fn new(channels: usize) -> Self {
        Columns { channels, width: channels * (LANES / channels).max(1) }
    }

    /// How many rows are summed at a time where their sums are then added up: a function of the
    /// channels alone, so that the threads do not show.
    pub(super) fn block(&self) -> usize {
        (BLOCK / self.channels).max(1)
    }

    /// A value for each channel, repeated to a wide row.
    pub(super) fn repeat(&self, values: &[f32]) -> Vec<f32> {
        values[..self.channels].iter().copied().cycle().take(self.width).collect()
    }

    /// Adds `K` sums over the rows for each channel to `sums`. `add(first, lanes)` adds the terms
    /// of the elements from index `first` on to as many lanes; a channel's lanes are then added
    /// up in order.
    pub(super) fn sum<const K: usize>(
        &self,
        elements: usize,
        sums: [&mut [f32]; K],
        add: impl Fn(usize, [&mut [f32]; K]),
    ) {
        let mut lanes: [Vec<f32>; K] = std::array::from_fn(|_| vec![0.0; self.width]);
        for first in (0..elements).step_by(self.width) {
            let length = self.width.min(elements - first);
            add(first, lanes.each_mut().map(|lanes| &mut lanes[..length]));
        }
        for (sums, lanes) in sums.into_iter().zip(&lanes) {
            for lanes in lanes.chunks_exact(self.channels) {
                for (sum, lane) in sums.iter_mut().zip(lanes) {
                    *sum += lane;
                }
            }
        }
    }
}
