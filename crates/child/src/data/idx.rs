//! IDX, the format of MNIST and its successors: a big-endian header and raw bytes.
//!
//! Images: magic 0x00000803, count, height, width (u32 each), then grey pixels row by row.
//! Labels: magic 0x00000801, count, then one byte a label. Source: Y. LeCun, "The MNIST database",
//! section "File formats".

use std::path::{Path, PathBuf};

use super::checks::{check_labels, check_same_shape};
use super::error::DataError;
use super::found::{Format, Found, SplitSource};
use super::reader::ByteReader;
use super::shape::ImageShape;
use super::split::Split;

const IMAGES_MAGIC: u32 = 0x0803;
const LABELS_MAGIC: u32 = 0x0801;

/// Where the four files may stand below the path a user gives, as torchvision puts them.
const SUBFOLDERS: [&str; 4] = ["raw", "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw"];

/// One pair of files. The labels are read at once, being few; the images on demand.
#[derive(Debug)]
struct IdxPair {
    images: PathBuf,
    header: ImageHeader,
    label_file: PathBuf,
    labels: Vec<u32>,
}

/// What an image file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ImageHeader {
    count: u64,
    pub(super) shape: ImageShape,
}

/// The folders at or below `root` that hold an IDX training set.
pub(super) fn locate(root: &Path) -> Vec<PathBuf> {
    let below = SUBFOLDERS.iter().map(|folder| root.join(folder));
    let folders = std::iter::once(root.to_path_buf()).chain(below);
    folders.filter(|folder| file(folder, "train", "images-idx3").is_some()).collect()
}

/// Opens the files in `folder`, which hold a training set; the test set may be absent.
pub(super) fn open(folder: &Path) -> Result<Found, DataError> {
    let train = IdxPair::open(folder, "train")?
        .ok_or_else(|| DataError::Changed { file: folder.into() })?;
    let classes = train.labels.iter().max().map_or(0, |&label| label as usize + 1);
    let test = IdxPair::open(folder, "t10k")?;
    if let Some(test) = &test {
        let (first, other) = (train.header.shape, test.header.shape);
        check_same_shape((&train.images, first), (&test.images, other))?;
        check_labels(&test.labels, classes, &test.label_file)?;
        test.verify()?;
    }
    Ok(Found {
        format: Format::Idx,
        path: folder.into(),
        classes: (0..classes).map(|class| class.to_string()).collect(),
        train: Box::new(train),
        validation: None,
        test: test.map(|test| Box::new(test) as _),
    })
}

/// Reads a whole label file.
pub(super) fn read_labels(mut reader: ByteReader<'_>) -> Result<Vec<u32>, DataError> {
    expect_magic(&mut reader, LABELS_MAGIC, "labels")?;
    let count = reader.read_u32()?;
    let labels = reader.read_vec(count.into())?;
    reader.expect_end()?;
    Ok(labels.into_iter().map(u32::from).collect())
}

/// Reads a whole image file: its header and `count * height * width` pixels.
pub(super) fn read_images(mut reader: ByteReader<'_>) -> Result<(ImageHeader, Vec<u8>), DataError> {
    let (header, bytes) = read_header(&mut reader)?;
    let pixels = reader.read_vec(bytes)?;
    reader.expect_end()?;
    Ok((header, pixels))
}

/// Reads the header of an image file. The second value is the bytes of pixels that must follow.
fn read_header(reader: &mut ByteReader<'_>) -> Result<(ImageHeader, u64), DataError> {
    expect_magic(reader, IMAGES_MAGIC, "images")?;
    let (count, height, width) = (reader.read_u32()?, reader.read_u32()?, reader.read_u32()?);
    let file = reader.file();
    let bytes = u64::from(count)
        .checked_mul(height.into())
        .and_then(|rows| rows.checked_mul(width.into()))
        .filter(|&bytes| bytes > 0)
        .ok_or_else(|| DataError::BadHeader { file: file.into(), count, height, width })?;
    let shape = ImageShape { height: height as usize, width: width as usize, channels: 1 };
    Ok((ImageHeader { count: count.into(), shape }, bytes))
}

fn expect_magic(
    reader: &mut ByteReader<'_>,
    expected: u32,
    kind: &'static str,
) -> Result<(), DataError> {
    let found = reader.read_u32()?;
    if found == expected {
        return Ok(());
    }
    Err(DataError::WrongMagic { file: reader.file().into(), found, expected, kind })
}

/// The file of this set ("train" or "t10k") and kind, in the spellings that are about: with a dash
/// or a dot before "idx", plain before compressed.
fn file(folder: &Path, set: &str, kind: &str) -> Option<PathBuf> {
    let dashed = format!("{set}-{kind}-ubyte");
    let dotted = dashed.replace("-idx", ".idx");
    let names = [dashed.clone(), dotted.clone(), dashed + ".gz", dotted + ".gz"];
    names.iter().map(|name| folder.join(name)).find(|file| file.is_file())
}

impl IdxPair {
    /// Opens a pair, `None` if neither file is there.
    fn open(folder: &Path, set: &str) -> Result<Option<Self>, DataError> {
        let missing = |kind, needed_by| DataError::MissingFile {
            file: folder.join(format!("{set}-{kind}-ubyte")),
            needed_by,
        };
        let (images, label_file) =
            match (file(folder, set, "images-idx3"), file(folder, set, "labels-idx1")) {
                (None, None) => return Ok(None),
                (Some(images), None) => return Err(missing("labels-idx1", images)),
                (None, Some(labels)) => return Err(missing("images-idx3", labels)),
                (Some(images), Some(labels)) => (images, labels),
            };
        let (header, _) = read_header(&mut ByteReader::open(&images)?)?;
        let labels = read_labels(ByteReader::open(&label_file)?)?;
        if header.count != labels.len() as u64 {
            return Err(DataError::LabelCount {
                images,
                image_count: header.count,
                labels: label_file,
                label_count: labels.len() as u64,
            });
        }
        Ok(Some(Self { images, header, label_file, labels }))
    }

    /// Reads through the pixels without keeping them, so that a torn test file is found before a
    /// search and not after it.
    fn verify(&self) -> Result<(), DataError> {
        let mut reader = ByteReader::open(&self.images)?;
        let (_, bytes) = read_header(&mut reader)?;
        reader.skip(bytes)?;
        reader.expect_end()
    }
}

impl SplitSource for IdxPair {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn shape(&self) -> ImageShape {
        self.header.shape
    }

    fn read(&self) -> Result<Split, DataError> {
        let (header, pixels) = read_images(ByteReader::open(&self.images)?)?;
        if header != self.header {
            return Err(DataError::Changed { file: self.images.clone() });
        }
        Split::new(header.shape, pixels, self.labels.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    enum Storage {
        Plain,
        Gzip,
    }

    fn store(content: &[u8], storage: Storage) -> Vec<u8> {
        match storage {
            Storage::Plain => content.to_vec(),
            Storage::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    fn with_header(header: &[u32], body: &[u8]) -> Vec<u8> {
        let header = header.iter().flat_map(|number| number.to_be_bytes());
        header.chain(body.iter().copied()).collect()
    }

    fn images(stored: &[u8]) -> Result<(ImageHeader, Vec<u8>), DataError> {
        read_images(ByteReader::from_slice(Path::new("images"), stored)?)
    }

    fn labels(stored: &[u8]) -> Result<Vec<u32>, DataError> {
        read_labels(ByteReader::from_slice(Path::new("labels"), stored)?)
    }

    fn storage() -> impl Strategy<Value = Storage> {
        prop_oneof![Just(Storage::Plain), Just(Storage::Gzip)]
    }

    fn dimension() -> impl Strategy<Value = u32> {
        prop_oneof![8 => 0..5u32, 1 => any::<u32>(), 1 => Just(u32::MAX)]
    }

    proptest! {
        /// Every header and every length has exactly one answer.
        #[test]
        fn image_files_are_read_or_refused_for_the_right_reason(
            count in dimension(),
            height in dimension(),
            width in dimension(),
            spare in -3i64..3,
            storage in storage(),
        ) {
            let product = u128::from(count) * u128::from(height) * u128::from(width);
            let body_len = product.min(100) as i64 + spare;
            let body: Vec<u8> = (0..body_len.max(0)).map(|i| i as u8).collect();
            let content = with_header(&[IMAGES_MAGIC, count, height, width], &body);
            let body_len = body.len() as u128;
            match images(&store(&content, storage)) {
                Ok((header, pixels)) => {
                    prop_assert_eq!(body_len, product);
                    prop_assert_eq!(pixels, body);
                    prop_assert_eq!(header.count, u64::from(count));
                    let (height, width) = (height as usize, width as usize);
                    prop_assert_eq!(header.shape, ImageShape { height, width, channels: 1 });
                }
                Err(DataError::BadHeader { .. }) => {
                    prop_assert!(product == 0 || product > u64::MAX.into());
                }
                Err(DataError::Truncated { end, expected, .. }) => {
                    prop_assert!(body_len < product);
                    prop_assert_eq!(end, content.len() as u64);
                    prop_assert_eq!(u128::from(expected), (product + 16).min(u64::MAX.into()));
                }
                Err(DataError::TrailingBytes { expected, .. }) => {
                    prop_assert!(body_len > product);
                    prop_assert_eq!(u128::from(expected), product + 16);
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
        }

        #[test]
        fn label_files_give_their_labels(
            body in prop::collection::vec(any::<u8>(), 0..20),
            storage in storage(),
        ) {
            let content = with_header(&[LABELS_MAGIC, body.len() as u32], &body);
            let expected: Vec<u32> = body.iter().copied().map(u32::from).collect();
            prop_assert_eq!(labels(&store(&content, storage)).unwrap(), expected);
            let is_images = matches!(
                images(&store(&content, storage)),
                Err(DataError::WrongMagic { found: LABELS_MAGIC, .. })
            );
            prop_assert!(is_images);
        }

        #[test]
        fn arbitrary_bytes_are_refused(content in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assume!(!content.starts_with(&[0, 0]));
            prop_assert!(images(&content).is_err());
            prop_assert!(labels(&content).is_err());
        }

        #[test]
        fn damaged_gzip_never_passes_as_other_labels(at: prop::sample::Index, flip in 1u8..) {
            let content = with_header(&[LABELS_MAGIC, 6], &[1, 1, 2, 3, 5, 8]);
            let mut stored = store(&content, Storage::Gzip);
            let at = at.index(stored.len());
            stored[at] ^= flip;
            if let Ok(labels) = labels(&stored) {
                prop_assert_eq!(labels, [1, 1, 2, 3, 5, 8]);
            }
        }
    }

    #[test]
    fn torn_gzip_names_the_place() {
        let body: Vec<u8> = (0..20_000u32).map(|i| ((i * i) >> 7) as u8).collect();
        let content = with_header(&[LABELS_MAGIC, body.len() as u32], &body);
        let stored = store(&content, Storage::Gzip);
        let result = labels(&stored[..stored.len() / 2]);
        assert!(
            matches!(result, Err(DataError::CorruptGzip { offset: 9..20_008, .. })),
            "{result:?}"
        );
    }
}
