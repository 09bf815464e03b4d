//! What every format tells about a dataset once it is recognised, before images are read.

use std::fmt;
use std::path::PathBuf;

use super::error::DataError;
use super::shape::ImageShape;
use super::split::Split;

/// How a dataset is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// The images that come with this crate.
    Embedded,
    /// Splits handed over by the program.
    InMemory,
    /// The IDX files of MNIST and its successors.
    Idx,
    /// CIFAR-10, binary version.
    Cifar10,
    /// CIFAR-100, binary version, with its 100 fine labels.
    Cifar100,
    /// A folder a class, of PNG or JPEG images.
    ClassFolders,
}

/// A recognised dataset: sizes and classes are known, images are read on demand.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) format: Format,
    pub(super) path: PathBuf,
    pub(super) classes: Vec<String>,
    pub(super) train: Box<dyn SplitSource>,
    /// A validation set that the dataset brings along.
    pub(super) validation: Option<Box<dyn SplitSource>>,
    pub(super) test: Option<Box<dyn SplitSource>>,
}

/// A split on disk.
pub(super) trait SplitSource: fmt::Debug + Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;
    fn shape(&self) -> ImageShape;
    fn read(&self) -> Result<Split, DataError>;
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Embedded => "embedded dataset",
            Format::InMemory => "dataset in memory",
            Format::Idx => "IDX files",
            Format::Cifar10 => "CIFAR-10 binary files",
            Format::Cifar100 => "CIFAR-100 binary files (fine labels)",
            Format::ClassFolders => "class folders",
        })
    }
}
