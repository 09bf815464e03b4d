//! Datasets: recognised by what a folder holds, decoded once to bytes, divided the same way always.
//!
//! [`Dataset::open`] reads IDX files (MNIST and its successors), the binary versions of CIFAR-10
//! and CIFAR-100, and class folders of PNG or JPEG images. [`Dataset::embedded`] needs no files.
//! Nothing is ever downloaded.
//!
//! Pixels stay bytes (`u8`, NHWC) from the file to the input pipeline, so that CIFAR-10 takes 184
//! MB and not 737; training and validation images are shared between children, not copied. Test
//! images are kept only when [`Dataset::test`] is called, so that a search cannot look at them;
//! opening IDX or CIFAR files passes over them once, to refuse what is torn or mislabelled.
//!
//! The validation set is taken out of the training set by a fixed permutation of the images in the
//! order of the files (sorted by name): the same on every machine and in every version.
//!
//! ```
//! use nasrl_child::data::{Dataset, ValidationSplit};
//!
//! let dataset = Dataset::embedded(ValidationSplit::Standard)?;
//! assert_eq!(dataset.train.len(), 8_000);
//! assert_eq!(dataset.train.image(0).len(), dataset.shape.bytes());
//! println!("{dataset}");
//! # Ok::<(), nasrl_child::data::DataError>(())
//! ```

mod checks;
mod cifar;
mod embedded;
mod encoded;
mod error;
mod folders;
mod found;
mod idx;
mod permutation;
mod reader;
mod residents;
mod shape;
mod split;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use encoded::MAX_IMAGE_BYTES;
pub use error::DataError;
pub use found::Format;
pub use shape::ImageShape;
pub use split::Split;

use checks::{check_classes, check_hold_out, check_labels, check_same_shape};
use cifar::{CIFAR10, CIFAR100};
use found::{Found, SplitSource};

/// A dataset for image classification. Clones share the images.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// What children are trained on.
    pub train: Arc<Split>,
    /// What their reward is measured on; `None` if no validation was asked for.
    pub validation: Option<Arc<Split>>,
    /// The shape of every image.
    pub shape: ImageShape,
    /// The name of every class; labels are indices into it.
    pub classes: Vec<String>,
    /// Where the images come from.
    pub source: Source,
    test: Option<TestSet>,
}

/// Where the images of a dataset come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// How they are stored.
    pub format: Format,
    /// The folder that holds them, as found at or below the path given; `None` without files.
    pub path: Option<PathBuf>,
    /// How the validation set came about.
    pub validation: ValidationSource,
}

/// How a validation set came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidationSource {
    /// There is none.
    Absent,
    /// Held out of the training images.
    HeldOut,
    /// A set of its own that the dataset brings along.
    Given,
}

/// Which images to validate on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValidationSplit {
    /// The dataset's own validation set if it has one, else a tenth of the training images, rounded
    /// up (5,000 of CIFAR's 50,000); 1,000 of the embedded 9,000.
    #[default]
    Standard,
    /// This many of the training images; 0 for no validation at all.
    HoldOut(usize),
}

#[derive(Clone, Debug)]
enum TestSet {
    InMemory(Arc<Split>),
    OnDisk(Arc<dyn SplitSource>),
}

/// Opens the dataset of one format in the folder where it was located.
type Open = fn(&Path) -> Result<Found, DataError>;

/// Class names that `Display` prints before it stops.
const CLASSES_PRINTED: usize = 10;

impl Dataset {
    /// The embedded dataset: 10,000 grey images of clothes, 28x28, in ten classes, divided into
    /// 8,000 for training, 1,000 for validation and 1,000 for testing by one fixed permutation.
    ///
    /// They are the *test* images of Fashion-MNIST (Zalando SE, MIT licence). Accuracies on this
    /// division say nothing about Fashion-MNIST and must not be quoted as such.
    ///
    /// # Errors
    /// [`DataError::ValidationTooLarge`] if all 9,000 images that are not test images, or more, are
    /// asked for.
    pub fn embedded(validation: ValidationSplit) -> Result<Self, DataError> {
        let count = match validation {
            ValidationSplit::Standard => embedded::VALIDATION_IMAGES,
            ValidationSplit::HoldOut(count) => count,
        };
        check_hold_out(count, embedded::TRAINING_IMAGES, Path::new("embedded images"))?;
        let images = embedded::read(count)?;
        let held_out = (count > 0).then_some(images.validation);
        let classes = embedded::CLASSES.map(str::to_owned).to_vec();
        let mut dataset = Self::from_splits(classes, images.train, held_out, Some(images.test))?;
        dataset.source.format = Format::Embedded;
        if count > 0 {
            dataset.source.validation = ValidationSource::HeldOut;
        }
        Ok(dataset)
    }

    /// Recognises and reads the dataset in the folder `path`.
    ///
    /// - IDX: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-...`, each plain or with
    ///   `.gz`, in the folder or in its `raw/`, `MNIST/raw/`, `FashionMNIST/raw/` or `KMNIST/raw/`.
    /// - CIFAR: `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, or `train.bin` and
    ///   `test.bin`, in the folder or in its `cifar-10-batches-bin/` or `cifar-100-binary/`.
    /// - Class folders: `train/<class>/*.{png,jpg,jpeg}`, the same in `val/` or `validation/` (not
    ///   both) and in `test/` where present. Hidden files are ignored.
    ///
    /// Test images may be absent in all of them; see [`Dataset::test`].
    ///
    /// # Errors
    /// Every [`DataError`] but [`DataError::SplitLengths`]; whatever can be known without decoding
    /// test images is refused here.
    pub fn open(path: impl AsRef<Path>, validation: ValidationSplit) -> Result<Self, DataError> {
        let Found { format, path, classes, train, validation: given, test } =
            recognise(path.as_ref())?;
        let shape = train.shape();
        let hold_out = match (validation, &given) {
            (ValidationSplit::Standard, Some(_)) | (ValidationSplit::HoldOut(0), _) => 0,
            (ValidationSplit::Standard, None) => train.len().div_ceil(10),
            (ValidationSplit::HoldOut(_), Some(_)) => {
                return Err(DataError::ValidationGiven { path });
            }
            (ValidationSplit::HoldOut(count), None) => count,
        };
        check_hold_out(hold_out, train.len(), &path)?;

        let mut train = train.read()?;
        check_classes(&train, &classes, &path)?;
        let (validation, validation_source) = match given {
            Some(given) if validation == ValidationSplit::Standard => {
                (Some(given.read()?), ValidationSource::Given)
            }
            _ if hold_out > 0 => (Some(train.hold_out(hold_out)), ValidationSource::HeldOut),
            _ => (None, ValidationSource::Absent),
        };
        Ok(Self {
            train: Arc::new(train),
            validation: validation.map(Arc::new),
            shape,
            classes,
            source: Source { format, path: Some(path), validation: validation_source },
            test: test.map(|test| TestSet::OnDisk(test.into())),
        })
    }

    /// A dataset of splits that the program made.
    ///
    /// # Errors
    /// [`DataError::MixedSizes`] or [`DataError::MixedChannels`] if the splits differ in shape,
    /// [`DataError::Empty`] for a split without images, [`DataError::LabelOutOfRange`] for a label
    /// that is not below `classes.len()`, [`DataError::OneClass`] if `train` has one class only.
    pub fn from_splits(
        classes: Vec<String>,
        train: Split,
        validation: Option<Split>,
        test: Option<Split>,
    ) -> Result<Self, DataError> {
        let name = Path::new("the training split");
        let others = [("the validation split", &validation), ("the test split", &test)];
        let others = others.iter().filter_map(|(name, split)| Some((*name, split.as_ref()?)));
        for (other, split) in others.chain([("the training split", &train)]) {
            let other = Path::new(other);
            check_same_shape((name, train.shape()), (other, split.shape()))?;
            check_labels(split.labels(), classes.len(), other)?;
            if split.is_empty() {
                return Err(DataError::Empty { path: other.into(), expected: "images" });
            }
        }
        check_classes(&train, &classes, name)?;
        let validation_source = match validation {
            Some(_) => ValidationSource::Given,
            None => ValidationSource::Absent,
        };
        Ok(Self {
            shape: train.shape(),
            train: Arc::new(train),
            validation: validation.map(Arc::new),
            classes,
            source: Source { format: Format::InMemory, path: None, validation: validation_source },
            test: test.map(|test| TestSet::InMemory(Arc::new(test))),
        })
    }

    /// Number of test images, without reading them; `None` if the dataset has no test set.
    #[must_use]
    pub fn test_len(&self) -> Option<usize> {
        self.test.as_ref().map(|test| match test {
            TestSet::InMemory(split) => split.len(),
            TestSet::OnDisk(source) => source.len(),
        })
    }

    /// Reads the test images; `None` if the dataset has no test set, and then there is no test
    /// accuracy. Every call reads them anew, so keep the result while it is needed.
    ///
    /// # Errors
    /// What [`Dataset::open`] could not know without reading them.
    pub fn test(&self) -> Result<Option<Arc<Split>>, DataError> {
        Ok(match &self.test {
            None => None,
            Some(TestSet::InMemory(split)) => Some(split.clone()),
            Some(TestSet::OnDisk(source)) => Some(Arc::new(source.read()?)),
        })
    }
}

impl fmt::Display for Dataset {
    /// What was found, in one paragraph.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source.format)?;
        if let Some(path) = &self.source.path {
            write!(f, " in {}", path.display())?;
        }
        write!(f, ": {} pixels, {} classes (", self.shape, self.classes.len())?;
        f.write_str(&self.classes[..self.classes.len().min(CLASSES_PRINTED)].join(", "))?;
        f.write_str(if self.classes.len() > CLASSES_PRINTED { ", ...); " } else { "); " })?;
        write!(f, "{} training images, ", self.train.len())?;
        let validation = self.validation.as_ref().map_or(0, |split| split.len());
        match self.source.validation {
            ValidationSource::Absent => write!(f, "no validation images, ")?,
            ValidationSource::HeldOut => {
                write!(f, "{validation} validation images held out of the training set, ")?;
            }
            ValidationSource::Given => write!(f, "{validation} validation images, ")?,
        }
        match self.test_len() {
            Some(test) => write!(f, "{test} test images")?,
            None => write!(f, "no test images")?,
        }
        if self.source.format == Format::Embedded {
            write!(
                f,
                ". These are the test images of Fashion-MNIST, divided anew: \
                 accuracies on them are not Fashion-MNIST results"
            )?;
        }
        Ok(())
    }
}

/// Finds the one dataset at or below `path`.
fn recognise(path: &Path) -> Result<Found, DataError> {
    let metadata = fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => DataError::NotFound { path: path.into() },
        _ => DataError::Io { path: path.into(), source },
    })?;
    if !metadata.is_dir() {
        return Err(DataError::NotAFolder { path: path.into() });
    }
    let formats: [(Vec<PathBuf>, Open); 4] = [
        (idx::locate(path), idx::open),
        (CIFAR10.locate(path), |folder| CIFAR10.open(folder)),
        (CIFAR100.locate(path), |folder| CIFAR100.open(folder)),
        (folders::locate(path), folders::open),
    ];
    let mut candidates =
        formats.iter().flat_map(|(folders, open)| folders.iter().map(move |found| (found, open)));
    match (candidates.next(), candidates.next()) {
        (None, _) => Err(DataError::UnknownFormat { path: path.into(), found: listing(path)? }),
        (Some((folder, open)), None) => open(folder),
        (Some((first, _)), Some((second, _))) => Err(DataError::Ambiguous {
            path: path.into(),
            first: first.clone(),
            second: second.clone(),
        }),
    }
}

/// The first few names in a folder.
fn listing(folder: &Path) -> Result<String, DataError> {
    const SHOWN: usize = 5;
    let io_error = |source| DataError::Io { path: folder.into(), source };
    let mut names = fs::read_dir(folder)
        .map_err(io_error)?
        .map(|entry| Ok(entry.map_err(io_error)?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>, _>>()?;
    names.sort_unstable();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    Ok(match (names.as_slice(), more) {
        ([], _) => "nothing".to_owned(),
        (names, 0) => names.join(", "),
        (names, more) => format!("{} and {more} more", names.join(", ")),
    })
}
