//! Replays `tests/corpus`: one folder a bad dataset, each refused for the right reason and with the
//! name of the file that is to blame.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nasrl_child::data::DataError as E;
use nasrl_child::data::{Dataset, ValidationSplit};

/// A folder of the corpus, what its error must name, and the error.
type Case = (&'static str, &'static str, fn(&E) -> bool);

/// What a reader is told to do.
const REMEDIES: &[&str] = &[
    "add it",
    "at least two classes are needed",
    "check it",
    "complete",
    "convert",
    "copy or download",
    "download it again",
    "expected train-images-idx3-ubyte[.gz]",
    "fill or remove",
    "give the folder",
    "move it",
    "repair",
    "replace",
    "scale",
];

macro_rules! refused_as {
    ($pattern:pat) => {
        |error| matches!(error, $pattern)
    };
}

const CASES: &[Case] = &[
    ("cifar10-batch-empty", "data_batch_5.bin", refused_as!(E::Empty { .. })),
    ("cifar10-batch-missing", "data_batch_3.bin", refused_as!(E::MissingFile { .. })),
    ("cifar10-class-names", "batches.meta.txt", refused_as!(E::ClassNames { found: 2, .. })),
    ("cifar10-label", "data_batch_4.bin", refused_as!(E::LabelOutOfRange { label: 10, .. })),
    (
        "cifar10-test-label",
        "test_batch.bin: record 1",
        refused_as!(E::LabelOutOfRange { label: 200, .. }),
    ),
    ("cifar10-test-torn", "test_batch.bin", refused_as!(E::Truncated { end: 17, .. })),
    ("cifar10-torn-record", "data_batch_2.bin", refused_as!(E::Truncated { end: 2973, .. })),
    ("cifar100-fine-label", "train.bin", refused_as!(E::LabelOutOfRange { record: 1, .. })),
    ("cifar100-class-names-binary", "fine_label_names.txt", refused_as!(E::Io { .. })),
    ("cifar100-test-label", "test.bin", refused_as!(E::LabelOutOfRange { label: 100, .. })),
    ("cifar100-torn-record", "train.bin", refused_as!(E::Truncated { end: 6147, .. })),
    ("folders-empty-png", "bee/2.png", refused_as!(E::CorruptImage { .. })),
    ("folders-file-among-classes", "labels.csv", refused_as!(E::UnexpectedEntry { .. })),
    ("folders-folder-among-images", "bee/more", refused_as!(E::UnexpectedEntry { .. })),
    ("folders-grey-and-colour", "bee/2.png is 3x4x3", refused_as!(E::MixedChannels { .. })),
    ("folders-jpeg-no-tables", "bee/2.jpg", refused_as!(E::CorruptImage { .. })),
    ("folders-jpeg-torn", "bee/2.jpg", refused_as!(E::CorruptImage { .. })),
    ("folders-one-class", "class ant", refused_as!(E::OneClass { .. })),
    ("folders-png-16-bit", "bee/2.png", refused_as!(E::UnsupportedPixels { .. })),
    ("folders-png-checksum", "bee/2.png", refused_as!(E::CorruptImage { .. })),
    ("folders-png-claims-gigabytes", "bee/2.png", refused_as!(E::ImageTooLarge { .. })),
    ("folders-png-torn", "bee/2.png", refused_as!(E::CorruptImage { .. })),
    ("folders-png-transparent", "bee/2.png", refused_as!(E::UnsupportedPixels { .. })),
    ("folders-text-file", "bee/notes.txt", refused_as!(E::UnexpectedEntry { .. })),
    ("folders-text-file-in-test", "ant/readme.md", refused_as!(E::UnexpectedEntry { .. })),
    ("folders-text-named-png", "bee/2.png", refused_as!(E::CorruptImage { .. })),
    ("folders-two-sizes", "bee/2.png is 4x3x1", refused_as!(E::MixedSizes { .. })),
    ("folders-two-sizes-in-val", "val/bee/x.png is 4x3x1", refused_as!(E::MixedSizes { .. })),
    ("folders-unknown-class-in-test", "test/cat", refused_as!(E::UnknownClass { .. })),
    ("idx-beyond-64-bits", "train-images", refused_as!(E::BadHeader { .. })),
    ("idx-empty-file", "train-images", refused_as!(E::Truncated { end: 0, .. })),
    ("idx-four-billion-images", "4294967295 images", refused_as!(E::LabelCount { .. })),
    ("idx-four-billion-labels", "train-labels", refused_as!(E::Truncated { end: 12, .. })),
    ("idx-gzip-checksum", "train-images", refused_as!(E::CorruptGzip { offset: 40, .. })),
    ("idx-gzip-of-html", "train-images", refused_as!(E::WrongMagic { .. })),
    ("idx-gzip-then-text", "train-images", refused_as!(E::CorruptGzip { offset: 40, .. })),
    ("idx-gzip-torn", "train-images", refused_as!(E::CorruptGzip { .. })),
    ("idx-header-torn", "train-images", refused_as!(E::Truncated { end: 10, .. })),
    ("idx-images-are-labels", "train-images", refused_as!(E::WrongMagic { found: 0x0801, .. })),
    ("idx-images-torn", "train-images", refused_as!(E::Truncated { end: 35, expected: 40, .. })),
    ("idx-label-count", "3 labels", refused_as!(E::LabelCount { image_count: 4, .. })),
    ("idx-labels-are-images", "train-labels", refused_as!(E::WrongMagic { found: 0x0803, .. })),
    ("idx-labels-gzip-torn", "train-labels", refused_as!(E::CorruptGzip { .. })),
    ("idx-labels-missing", "train-labels", refused_as!(E::MissingFile { .. })),
    ("idx-labels-torn", "train-labels", refused_as!(E::Truncated { end: 11, .. })),
    ("idx-magic-little-endian", "0x03080000", refused_as!(E::WrongMagic { .. })),
    ("idx-no-rows", "0x2", refused_as!(E::BadHeader { height: 0, .. })),
    ("idx-one-class", "class 0", refused_as!(E::OneClass { .. })),
    ("idx-test-images-missing", "t10k-images", refused_as!(E::MissingFile { .. })),
    ("idx-test-label", "t10k-labels", refused_as!(E::LabelOutOfRange { record: 2, .. })),
    ("idx-test-size", "t10k-images", refused_as!(E::MixedSizes { .. })),
    ("idx-test-torn", "t10k-images", refused_as!(E::Truncated { end: 39, .. })),
    ("idx-trailing-byte", "train-images", refused_as!(E::TrailingBytes { expected: 40, .. })),
    ("two-datasets", "MNIST", refused_as!(E::Ambiguous { .. })),
    ("unknown-format", "data_batch_1, readme.html", refused_as!(E::UnknownFormat { .. })),
];

fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus"))
}

#[test]
fn every_bad_dataset_is_refused_for_the_right_reason() {
    for (name, place, expected) in CASES {
        let error = Dataset::open(corpus().join(name), ValidationSplit::Standard).unwrap_err();
        assert!(expected(&error), "{name}: {error:?}");
        let message = error.to_string();
        assert!(message.contains(place), "{name}: {message:?} does not name {place:?}");
        assert!(!message.contains('\n'), "{name}: {message:?}");
        let remedy = REMEDIES.iter().any(|remedy| message.contains(remedy));
        assert!(remedy, "{name}: {message:?} does not say what to do");
    }
}

#[test]
fn every_folder_of_the_corpus_is_replayed() {
    let entries = fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap());
    let folders: BTreeSet<String> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let cases = CASES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(folders, cases);
}
