//! Images and labels in memory, and how a validation set is taken out of a training set.

use std::fmt;

use nasrl_tensor::Backend;

use super::error::DataError;
use super::permutation::permutation;
use super::residents::Residents;
use super::shape::ImageShape;

/// Images with their labels, decoded once to bytes.
///
/// An image is `height x width x channels` bytes in that order (so the whole is NHWC), 0 to 255 as
/// in the file: normalising is the input pipeline's work. Children that train side by side share
/// one `Arc<Split>`.
#[derive(Clone)]
pub struct Split {
    shape: ImageShape,
    images: Vec<u8>,
    labels: Vec<u32>,
    residents: Residents,
}

/// Key of the permutation that picks validation images. Changing it changes every result.
const HOLD_OUT_KEY: u64 = 0x6e61_7372_6c00_0001;

impl fmt::Debug for Split {
    /// Shape and length; the pixels would drown everything else.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Split")
            .field("shape", &self.shape)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Split {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.images == other.images && self.labels == other.labels
    }
}

impl Eq for Split {}

impl Split {
    /// Joins NHWC pixels and their labels.
    ///
    /// # Errors
    /// [`DataError::SplitLengths`] unless `images` holds exactly `shape.bytes()` bytes a label.
    pub fn new(shape: ImageShape, images: Vec<u8>, labels: Vec<u32>) -> Result<Self, DataError> {
        let each = shape.checked_bytes().filter(|&bytes| bytes > 0);
        let expected = each.and_then(|bytes| bytes.checked_mul(labels.len()));
        if expected != Some(images.len()) {
            let (bytes, labels) = (images.len(), labels.len());
            return Err(DataError::SplitLengths { shape, bytes, labels });
        }
        Ok(Self { shape, images, labels, residents: Residents::default() })
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The shape of one image.
    #[must_use]
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// All pixels, `len() x height x width x channels`.
    #[must_use]
    pub fn images(&self) -> &[u8] {
        &self.images
    }

    /// The class of every image, an index into [`Dataset::classes`](super::Dataset::classes).
    #[must_use]
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The pixels of one image, `height x width x channels`.
    ///
    /// # Panics
    /// If `index` is not below `len()`, as slices do.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        let bytes = self.shape.bytes();
        &self.images[index * bytes..(index + 1) * bytes]
    }

    /// A number that no other split has.
    pub(crate) fn id(&self) -> u64 {
        self.residents.id()
    }

    /// The images and the labels in the memory of a device, where they are brought by the first who
    /// asks and stay as long as the split; `None` where the host's memory is the device's.
    pub(crate) fn resident<B: Backend>(
        &self,
        on: &B,
    ) -> nasrl_tensor::Result<Option<[B::Resident; 2]>> {
        self.residents.on(on, &self.images, &self.labels)
    }

    /// The images at `indices`, in that order.
    pub(super) fn select(&self, indices: &[usize]) -> Split {
        let mut images = Vec::with_capacity(indices.len() * self.shape.bytes());
        indices.iter().for_each(|&index| images.extend_from_slice(self.image(index)));
        let labels = indices.iter().map(|&index| self.labels[index]).collect();
        Split { shape: self.shape, images, labels, residents: Residents::default() }
    }

    /// Moves `count` images into a split of their own: the first `count` of a fixed permutation of
    /// `len()`. Both splits keep the order in which the images stood. Only the images moved are
    /// ever in memory twice. `count` must be at most `len()`.
    pub(super) fn hold_out(&mut self, count: usize) -> Split {
        let mut chosen = permutation(self.len(), HOLD_OUT_KEY);
        chosen.truncate(count);
        chosen.sort_unstable();
        let held_out = self.select(&chosen);

        let bytes = self.shape.bytes();
        let mut next_chosen = chosen.into_iter().peekable();
        let mut kept = 0;
        for index in 0..self.len() {
            if next_chosen.next_if_eq(&index).is_some() {
                continue;
            }
            self.images.copy_within(index * bytes..(index + 1) * bytes, kept * bytes);
            self.labels[kept] = self.labels[index];
            kept += 1;
        }
        self.images.truncate(kept * bytes);
        self.images.shrink_to_fit();
        self.labels.truncate(kept);
        self.labels.shrink_to_fit();
        held_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { height: 1, width: 2, channels: 1 };

    fn numbered(len: u32) -> Split {
        let images = (0..len).flat_map(|i| [i as u8, (i >> 8) as u8]).collect();
        Split::new(SHAPE, images, (0..len).collect()).unwrap()
    }

    #[test]
    fn hold_out_moves_whole_images_and_keeps_their_order() {
        for (len, count) in [(2, 1), (10, 0), (10, 10), (300, 30), (1000, 999)] {
            let whole = numbered(len);
            let mut rest = whole.clone();
            let held_out = rest.hold_out(count);
            assert_eq!(held_out.len(), count);
            assert_eq!(rest.len() + held_out.len(), whole.len());
            for split in [&rest, &held_out] {
                assert!(split.labels().is_sorted_by(|a, b| a < b));
                for (index, &label) in split.labels().iter().enumerate() {
                    assert_eq!(split.image(index), whole.image(label as usize));
                }
            }
            let mut all = [rest.labels(), held_out.labels()].concat();
            all.sort_unstable();
            assert_eq!(all, whole.labels());
        }
    }

    #[test]
    fn a_smaller_hold_out_is_part_of_a_larger_one() {
        let small = numbered(500).hold_out(20);
        let large = numbered(500).hold_out(50);
        assert!(small.labels().iter().all(|label| large.labels().contains(label)));
    }

    #[test]
    fn pixels_must_match_labels() {
        for (shape, bytes, labels) in [
            (SHAPE, 3, 2),
            (SHAPE, 4, 1),
            (ImageShape { width: 0, ..SHAPE }, 0, 3),
            (ImageShape { height: usize::MAX / 2 + 1, ..SHAPE }, 0, 1),
            (ImageShape { height: usize::MAX, ..SHAPE }, 0, 0),
        ] {
            let split = Split::new(shape, vec![0; bytes], vec![0; labels]);
            assert!(matches!(split, Err(DataError::SplitLengths { .. })), "{shape}: {split:?}");
        }
    }
}
