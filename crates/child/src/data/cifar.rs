//! The binary versions of CIFAR-10 and CIFAR-100.
//!
//! A file is a row of records: the label bytes (CIFAR-10: one; CIFAR-100: coarse, then fine), then
//! 32x32 red, 32x32 green and 32x32 blue bytes. Source: A. Krizhevsky, "The CIFAR-10 dataset",
//! section "Binary version".

use std::fs;
use std::path::{Path, PathBuf};

use super::checks::check_labels;
use super::error::DataError;
use super::found::{Format, Found, SplitSource};
use super::reader::ByteReader;
use super::shape::ImageShape;
use super::split::Split;

/// What tells the two datasets apart.
#[derive(Debug)]
pub(super) struct Variant {
    format: Format,
    folder: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    /// Bytes before the pixels; the last of them is the label used.
    label_bytes: usize,
    classes: usize,
    class_names: &'static str,
}

/// The files of one split.
#[derive(Debug)]
struct CifarFiles {
    variant: &'static Variant,
    files: Vec<PathBuf>,
    len: usize,
}

pub(super) static CIFAR10: Variant = Variant {
    format: Format::Cifar10,
    folder: "cifar-10-batches-bin",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
    label_bytes: 1,
    classes: 10,
    class_names: "batches.meta.txt",
};

pub(super) static CIFAR100: Variant = Variant {
    format: Format::Cifar100,
    folder: "cifar-100-binary",
    train: &["train.bin"],
    test: "test.bin",
    label_bytes: 2,
    classes: 100,
    class_names: "fine_label_names.txt",
};

const SHAPE: ImageShape = ImageShape { height: 32, width: 32, channels: 3 };
const PLANE: usize = 32 * 32;

impl Variant {
    /// The folders at or below `root` that hold this dataset.
    pub(super) fn locate(&self, root: &Path) -> Vec<PathBuf> {
        let folders = [root.to_path_buf(), root.join(self.folder)];
        folders.into_iter().filter(|folder| folder.join(self.train[0]).is_file()).collect()
    }

    /// Opens the files in `folder`; the test file may be absent.
    pub(super) fn open(&'static self, folder: &Path) -> Result<Found, DataError> {
        let test = folder.join(self.test);
        Ok(Found {
            format: self.format,
            path: folder.into(),
            classes: self.class_names(folder)?,
            train: Box::new(CifarFiles::open(
                self,
                self.train.iter().map(|name| folder.join(name)).collect(),
            )?),
            validation: None,
            test: match test.is_file() {
                true => {
                    let test = CifarFiles::open(self, vec![test])?;
                    test.verify()?;
                    Some(Box::new(test))
                }
                false => None,
            },
        })
    }

    fn record_bytes(&self) -> usize {
        self.label_bytes + SHAPE.bytes()
    }

    /// The names in the dataset's own list, one a line; the class numbers where it is absent.
    fn class_names(&self, folder: &Path) -> Result<Vec<String>, DataError> {
        let file = folder.join(self.class_names);
        if !file.is_file() {
            return Ok((0..self.classes).map(|class| class.to_string()).collect());
        }
        let text = fs::read_to_string(&file)
            .map_err(|source| DataError::Io { path: file.clone(), source })?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let names: Vec<String> = lines.map(str::to_owned).collect();
        if names.len() != self.classes {
            let (found, expected) = (names.len(), self.classes);
            return Err(DataError::ClassNames { file, found, expected });
        }
        Ok(names)
    }

    /// Appends the records of one file to `images` (as NHWC) and `labels`.
    fn read_records(
        &self,
        mut reader: ByteReader<'_>,
        images: &mut Vec<u8>,
        labels: &mut Vec<u32>,
    ) -> Result<(), DataError> {
        let record_bytes = self.record_bytes() as u64;
        let first = labels.len();
        let mut record = Vec::new();
        loop {
            record.clear();
            let read = reader.read_up_to(record_bytes, &mut record)?;
            if read == 0 {
                break;
            }
            if read < record_bytes {
                let records = (labels.len() - first) as u64 + 1;
                return Err(reader.truncated(records * record_bytes));
            }
            let (label, planes) = record.split_at(self.label_bytes);
            labels.push(label[self.label_bytes - 1].into());
            images.extend(
                (0..PLANE).flat_map(|i| [planes[i], planes[PLANE + i], planes[2 * PLANE + i]]),
            );
        }
        check_labels(&labels[first..], self.classes, reader.file())
    }
}

impl CifarFiles {
    /// Checks that all files are there, not empty and of whole records.
    fn open(variant: &'static Variant, files: Vec<PathBuf>) -> Result<Self, DataError> {
        let record_bytes = variant.record_bytes() as u64;
        let mut records = 0;
        for file in &files {
            if !file.is_file() {
                let (file, needed_by) = (file.clone(), files[0].clone());
                return Err(DataError::MissingFile { file, needed_by });
            }
            let metadata = fs::metadata(file)
                .map_err(|source| DataError::Io { path: file.clone(), source })?;
            let end = metadata.len();
            if end == 0 {
                return Err(DataError::Empty { path: file.clone(), expected: "image records" });
            }
            if end % record_bytes != 0 {
                let expected = end.next_multiple_of(record_bytes);
                return Err(DataError::Truncated { file: file.clone(), end, expected });
            }
            records += end / record_bytes;
        }
        let len = usize::try_from(records).map_err(|_| DataError::OutOfMemory {
            path: files[0].clone(),
            bytes: records.saturating_mul(record_bytes),
        })?;
        Ok(Self { variant, files, len })
    }

    /// Checks the labels and passes over the pixels, so that a bad test file is found before a
    /// search and not after it.
    fn verify(&self) -> Result<(), DataError> {
        for file in &self.files {
            let mut reader = ByteReader::open(file)?;
            let (mut labels, mut label) = (Vec::new(), Vec::new());
            loop {
                label.clear();
                if reader.read_up_to(self.variant.label_bytes as u64, &mut label)? == 0 {
                    break;
                }
                labels.extend(label.last().copied().map(u32::from));
                reader.skip(SHAPE.bytes() as u64)?;
            }
            check_labels(&labels, self.variant.classes, file)?;
        }
        Ok(())
    }
}

impl SplitSource for CifarFiles {
    fn len(&self) -> usize {
        self.len
    }

    fn shape(&self) -> ImageShape {
        SHAPE
    }

    fn read(&self) -> Result<Split, DataError> {
        let bytes = self.len * SHAPE.bytes();
        let (mut images, mut labels) = (Vec::new(), Vec::with_capacity(self.len));
        images.try_reserve_exact(bytes).map_err(|_| DataError::OutOfMemory {
            path: self.files[0].clone(),
            bytes: bytes as u64,
        })?;
        for file in &self.files {
            self.variant.read_records(ByteReader::open(file)?, &mut images, &mut labels)?;
        }
        if labels.len() != self.len {
            return Err(DataError::Changed { file: self.files[0].clone() });
        }
        Split::new(SHAPE, images, labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(variant: &Variant, content: &[u8]) -> Result<(Vec<u8>, Vec<u32>), DataError> {
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        let reader = ByteReader::from_slice(Path::new("batch"), content)?;
        variant.read_records(reader, &mut images, &mut labels)?;
        Ok((images, labels))
    }

    proptest! {
        #[test]
        fn records_are_read_or_refused_for_the_right_reason(
            fine in prop::bool::ANY,
            label_values in prop::collection::vec(0..102u8, 0..4),
            cut in prop_oneof![Just(0usize), 1..40usize],
            seed: u8,
        ) {
            let variant = if fine { &CIFAR100 } else { &CIFAR10 };
            let record_bytes = variant.record_bytes();
            let mut content: Vec<u8> = (0..label_values.len() * record_bytes)
                .map(|i| (i * 131 / 7) as u8 ^ seed)
                .collect();
            for (record, &label) in content.chunks_mut(record_bytes).zip(&label_values) {
                record[0] = 3;
                record[variant.label_bytes - 1] = label;
            }
            let whole = content.len();
            content.truncate(whole.saturating_sub(cut));
            let bad_label =
                label_values.iter().position(|&label| usize::from(label) >= variant.classes);
            match read(variant, &content) {
                Err(DataError::Truncated { end, expected, .. }) => {
                    prop_assert!(cut > 0);
                    prop_assert_eq!((end, expected), (content.len() as u64, whole as u64));
                }
                Err(DataError::LabelOutOfRange { record, label, .. }) => {
                    prop_assert_eq!(Some(record), bad_label);
                    prop_assert_eq!(label, u32::from(label_values[record]));
                }
                Err(error) => prop_assert!(false, "{}", error),
                Ok((images, labels)) => {
                    prop_assert!(bad_label.is_none() && (cut == 0 || whole == 0));
                    prop_assert!(labels.iter().copied().eq(label_values.iter().map(|&l| u32::from(l))));
                    for (n, record) in content.chunks(record_bytes).enumerate() {
                        for (y, x, c) in (0..32)
                            .flat_map(|y| (0..32).flat_map(move |x| (0..3).map(move |c| (y, x, c))))
                        {
                            let nhwc = images[((n * 32 + y) * 32 + x) * 3 + c];
                            let planar = record[variant.label_bytes + (c * 32 + y) * 32 + x];
                            prop_assert_eq!(nhwc, planar);
                        }
                    }
                }
            }
        }
    }
}
