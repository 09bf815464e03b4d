//! What can be wrong with a dataset: every case names the file and the place, what was expected
//! and what to do about it.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::shape::ImageShape;

/// A dataset that cannot be used.
///
/// Fields called `file` name a file as it was reached from the path given to
/// [`Dataset::open`](super::Dataset::open); for splits built in memory they hold the split's name.
/// Byte offsets into a gzip file count decompressed bytes.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// Nothing exists at the given path.
    #[error("{path}: no such folder; check the path (nothing is downloaded)")]
    NotFound {
        /// The path given.
        path: PathBuf,
    },

    /// The given path is a file.
    #[error("{path}: is a file, expected a folder; unpack an archive and give the folder")]
    NotAFolder {
        /// The path given.
        path: PathBuf,
    },

    /// The folder holds none of the supported formats.
    #[error(
        "{path}: no dataset recognised (the folder holds {found}); expected \
         train-images-idx3-ubyte[.gz], data_batch_1.bin (CIFAR-10), train.bin (CIFAR-100) \
         or class folders of PNG or JPEG in train/"
    )]
    UnknownFormat {
        /// The path given.
        path: PathBuf,
        /// The first entries of the folder, for the reader's eye.
        found: String,
    },

    /// The folder holds more than one dataset.
    #[error("{path}: holds several datasets: {first} and {second}; give the folder of one of them")]
    Ambiguous {
        /// The path given.
        path: PathBuf,
        /// One dataset found.
        first: PathBuf,
        /// Another dataset found.
        second: PathBuf,
    },

    /// The operating system refused a read.
    #[error("{path}: cannot be read: {source}; check it and its permissions")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },

    /// A file that the format requires is absent.
    #[error("{file}: missing, but {needed_by} is there; complete the dataset")]
    MissingFile {
        /// The absent file.
        file: PathBuf,
        /// The file that makes it necessary.
        needed_by: PathBuf,
    },

    /// A file changed between the opening of the dataset and the reading of its images.
    #[error("{file}: changed since the dataset was opened; open the dataset again")]
    Changed {
        /// The file.
        file: PathBuf,
    },

    /// An IDX file does not begin with the magic number of its kind.
    #[error(
        "{file}: begins with {found:#010x}, expected {expected:#010x}, so it is no IDX file of \
         {kind}; replace the file"
    )]
    WrongMagic {
        /// The IDX file.
        file: PathBuf,
        /// The first four bytes, big endian.
        found: u32,
        /// The magic number of this kind.
        expected: u32,
        /// "images" or "labels".
        kind: &'static str,
    },

    /// A number in an IDX header is zero, or their product is beyond 64 bits.
    #[error(
        "{file}: the header at byte 4 claims {count} images of {height}x{width} pixels, expected \
         numbers above 0 that a file can hold; replace the file"
    )]
    BadHeader {
        /// The IDX file.
        file: PathBuf,
        /// Number of images claimed.
        count: u32,
        /// Height claimed, in pixels.
        height: u32,
        /// Width claimed, in pixels.
        width: u32,
    },

    /// A file ends too early.
    #[error(
        "{file}: ends at byte {end}, expected {expected} bytes; torn: copy or download it again"
    )]
    Truncated {
        /// The file.
        file: PathBuf,
        /// Number of bytes present.
        end: u64,
        /// Number of bytes that header or record size ask for.
        expected: u64,
    },

    /// A file goes on after its last record.
    #[error(
        "{file}: goes on after byte {expected}, where its header says it ends; replace the file"
    )]
    TrailingBytes {
        /// The file.
        file: PathBuf,
        /// Number of bytes that the header asks for.
        expected: u64,
    },

    /// A gzip stream is torn or fails its checksum.
    #[error("{file}: corrupt gzip after {offset} bytes of content ({source}); download it again")]
    CorruptGzip {
        /// The gzip file.
        file: PathBuf,
        /// Number of bytes that came out before the error.
        offset: u64,
        /// The decompressor's answer.
        source: io::Error,
    },

    /// An image file and its label file disagree about the number of records.
    #[error(
        "{images} has {image_count} images, but {labels} has {label_count} labels; \
         replace the one that is of another set"
    )]
    LabelCount {
        /// The image file.
        images: PathBuf,
        /// Number of images.
        image_count: u64,
        /// The label file.
        labels: PathBuf,
        /// Number of labels.
        label_count: u64,
    },

    /// A label names a class that does not exist.
    #[error(
        "{file}: record {record} has label {label}, expected a label below {classes}; \
         repair the record"
    )]
    LabelOutOfRange {
        /// The file that holds the label.
        file: PathBuf,
        /// Index of the record, from 0.
        record: usize,
        /// The label found.
        label: u32,
        /// Number of classes.
        classes: usize,
    },

    /// A list of class names has the wrong length.
    #[error("{file}: {found} class names, expected {expected}; replace the file or remove it")]
    ClassNames {
        /// The file of names.
        file: PathBuf,
        /// Number of names found.
        found: usize,
        /// Number of classes of the format.
        expected: usize,
    },

    /// Something that does not belong where it stands.
    #[error("{path}: expected {expected} here; move it elsewhere (hidden files are ignored)")]
    UnexpectedEntry {
        /// The entry.
        path: PathBuf,
        /// What belongs there.
        expected: &'static str,
    },

    /// A folder or file without contents.
    #[error("{path}: empty, expected {expected}; fill or remove it")]
    Empty {
        /// The folder or file.
        path: PathBuf,
        /// What belongs in it.
        expected: &'static str,
    },

    /// A class of the validation or test set that the training set lacks.
    #[error("{path}: the training set has no class of this name; add it there or remove it here")]
    UnknownClass {
        /// The class folder.
        path: PathBuf,
    },

    /// A training set that leaves nothing to tell apart.
    #[error("{path}: all training images are of class {class}; at least two classes are needed")]
    OneClass {
        /// The dataset.
        path: PathBuf,
        /// The one class.
        class: String,
    },

    /// An image file that does not decode.
    #[error("{file}: does not decode as PNG or JPEG: {reason}; replace or remove the file")]
    CorruptImage {
        /// The image file.
        file: PathBuf,
        /// The decoder's answer.
        reason: String,
    },

    /// An image whose pixels are not 8-bit grey or colour.
    #[error("{file}: has {found}; convert it to 8-bit grey or RGB without transparency")]
    UnsupportedPixels {
        /// The image file.
        file: PathBuf,
        /// The pixel format found.
        found: String,
    },

    /// An image of more than [`super::MAX_IMAGE_BYTES`] decoded bytes.
    #[error("{file}: is {width}x{height} pixels, too large to train on; scale the images down")]
    ImageTooLarge {
        /// The image file.
        file: PathBuf,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },

    /// Two images of different height or width.
    #[error(
        "images of two sizes: {first} is {first_shape}, {other} is {other_shape}; scale all to one"
    )]
    MixedSizes {
        /// The image that set the size.
        first: PathBuf,
        /// Its shape.
        first_shape: ImageShape,
        /// The image that differs.
        other: PathBuf,
        /// Its shape.
        other_shape: ImageShape,
    },

    /// Two images of the same size, one grey and one in colour.
    #[error(
        "grey and colour mixed: {first} is {first_shape}, {other} is {other_shape}; \
         convert all to one"
    )]
    MixedChannels {
        /// The image that set the number of channels.
        first: PathBuf,
        /// Its shape.
        first_shape: ImageShape,
        /// The image that differs.
        other: PathBuf,
        /// Its shape.
        other_shape: ImageShape,
    },

    /// More images than fit in memory.
    #[error(
        "{path}: {bytes} bytes of decoded images do not fit in memory; use fewer or smaller ones"
    )]
    OutOfMemory {
        /// The file or folder.
        path: PathBuf,
        /// Bytes asked for.
        bytes: u64,
    },

    /// A validation set as large as the training set it is taken from.
    #[error(
        "{path}: cannot hold {requested} of {available} training images out for validation; \
         ask for fewer"
    )]
    ValidationTooLarge {
        /// The dataset.
        path: PathBuf,
        /// Images asked for.
        requested: usize,
        /// Images of the training set.
        available: usize,
    },

    /// A number of validation images was asked for, but the dataset brings its own.
    #[error(
        "{path}: the dataset has its own validation set; ask for no number of images, or for 0"
    )]
    ValidationGiven {
        /// The dataset.
        path: PathBuf,
    },

    /// Pixels and labels handed to [`Split::new`](super::Split::new) that do not belong together.
    #[error("{bytes} bytes of pixels for {labels} labels; expected {shape} bytes a label")]
    SplitLengths {
        /// The shape of one image.
        shape: ImageShape,
        /// Bytes given.
        bytes: usize,
        /// Labels given.
        labels: usize,
    },
}
