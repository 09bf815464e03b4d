//! The images that come with this crate, so that a search needs no download.

use std::path::Path;

use super::error::DataError;
use super::idx;
use super::permutation::permutation;
use super::reader::ByteReader;
use super::split::Split;

pub(super) const CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// Images for training and, unless more or fewer are asked for, validation.
pub(super) const TRAINING_IMAGES: usize = 9_000;
/// The last of the training images, by default.
pub(super) const VALIDATION_IMAGES: usize = 1_000;

const IMAGES: &[u8] = include_bytes!("../../data/t10k-images-idx3-ubyte.gz");
const LABELS: &[u8] = include_bytes!("../../data/t10k-labels-idx1-ubyte.gz");

/// Key of the permutation that divides the images. Changing it changes every result.
const PERMUTATION_KEY: u64 = 0x6e61_7372_6c00_0002;

/// The embedded images, divided.
pub(super) struct Embedded {
    pub(super) train: Split,
    pub(super) validation: Split,
    pub(super) test: Split,
}

/// Decompresses all images and divides them in the order of one fixed permutation: training,
/// then `validation_images` for validation, and from position 9,000 on the test images.
/// `validation_images` must be at most [`TRAINING_IMAGES`].
pub(super) fn read(validation_images: usize) -> Result<Embedded, DataError> {
    let file = Path::new("embedded images");
    let labels = idx::read_labels(ByteReader::from_slice(file, LABELS)?)?;
    let (header, pixels) = idx::read_images(ByteReader::from_slice(file, IMAGES)?)?;
    let all = Split::new(header.shape, pixels, labels)?;
    let order = permutation(all.len(), PERMUTATION_KEY);
    let (training, test) = order.split_at(TRAINING_IMAGES);
    let (train, validation) = training.split_at(TRAINING_IMAGES - validation_images);
    Ok(Embedded {
        train: all.select(train),
        validation: all.select(validation),
        test: all.select(test),
    })
}
