//! Refusals that no file in the corpus can show.

use std::fs;
use std::path::Path;

use nasrl_child::data::{DataError, Dataset, ImageShape, Split, ValidationSplit};

use crate::files::{idx_images, idx_labels, pixels, png, write};

const SHAPE: ImageShape = ImageShape { height: 2, width: 2, channels: 1 };

fn refusal(root: &Path, validation: ValidationSplit) -> DataError {
    Dataset::open(root, validation).unwrap_err()
}

fn write_idx(root: &Path, set: &str, labels: &[u8]) {
    let images = pixels(labels.len() * SHAPE.bytes(), 0);
    write(root, &format!("{set}-images-idx3-ubyte"), &idx_images(SHAPE, &images));
    write(root, &format!("{set}-labels-idx1-ubyte"), &idx_labels(labels));
}

fn write_folders(root: &Path) {
    for (key, class) in ["ant", "bee"].into_iter().enumerate() {
        let content = png(SHAPE, &pixels(SHAPE.bytes(), key));
        write(root, &format!("train/{class}/0.png"), &content);
    }
}

#[test]
fn the_path_must_be_a_folder_with_data() {
    let root = tempfile::tempdir().unwrap();
    let absent = refusal(&root.path().join("absent"), ValidationSplit::Standard);
    assert!(matches!(absent, DataError::NotFound { .. }), "{absent}");
    let empty = refusal(root.path(), ValidationSplit::Standard);
    assert!(matches!(&empty, DataError::UnknownFormat { found, .. } if found == "nothing"));
    write(root.path(), "cifar.tar.gz", b"...");
    let file = refusal(&root.path().join("cifar.tar.gz"), ValidationSplit::Standard);
    assert!(matches!(file, DataError::NotAFolder { .. }), "{file}");
}

#[test]
fn empty_folders_are_named() {
    for folder in ["train", "train/cat", "val", "val/ant", "test", "test/ant"] {
        let root = tempfile::tempdir().unwrap();
        if folder != "train" {
            write_folders(root.path());
        }
        fs::create_dir_all(root.path().join(folder)).unwrap();
        let error = refusal(root.path(), ValidationSplit::Standard);
        let named = root.path().join(folder);
        assert!(matches!(&error, DataError::Empty { path, .. } if *path == named), "{error}");
    }
}

#[test]
fn one_validation_set_is_enough() {
    let root = tempfile::tempdir().unwrap();
    write_folders(root.path());
    for folder in ["val", "validation"] {
        write(root.path(), &format!("{folder}/ant/0.png"), &png(SHAPE, &pixels(SHAPE.bytes(), 7)));
    }
    let error = refusal(root.path(), ValidationSplit::Standard);
    let named = root.path().join("validation");
    assert!(matches!(&error, DataError::UnexpectedEntry { path, .. } if *path == named), "{error}");
}

/// Reading one could take forever or all memory; the null device ends at once.
#[cfg(unix)]
#[test]
fn devices_are_not_read_as_images() {
    for folder in ["train/bee", "val/bee", "test/bee"] {
        let root = tempfile::tempdir().unwrap();
        write_folders(root.path());
        let file = root.path().join(folder).join("9.png");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/dev/null", &file).unwrap();
        let opened = Dataset::open(root.path(), ValidationSplit::Standard);
        let error = opened.and_then(|dataset| dataset.test()).unwrap_err();
        assert!(
            matches!(&error, DataError::UnexpectedEntry { path, .. } if *path == file),
            "{error}"
        );
    }
}

#[test]
fn validation_must_fit() {
    let root = tempfile::tempdir().unwrap();
    write_idx(root.path(), "train", &[0, 1, 0, 1]);
    for requested in [4, 5, usize::MAX] {
        let error = refusal(root.path(), ValidationSplit::HoldOut(requested));
        assert!(matches!(error, DataError::ValidationTooLarge { available: 4, .. }), "{error}");
    }
    assert_eq!(Dataset::open(root.path(), ValidationSplit::HoldOut(3)).unwrap().train.len(), 1);

    let root = tempfile::tempdir().unwrap();
    write_folders(root.path());
    write(root.path(), "val/ant/0.png", &png(SHAPE, &pixels(SHAPE.bytes(), 7)));
    let error = refusal(root.path(), ValidationSplit::HoldOut(1));
    assert!(matches!(error, DataError::ValidationGiven { .. }), "{error}");
}

/// A search never decodes test images, so it does not see that one is broken; whoever reads them
/// does.
#[test]
fn test_images_are_not_touched_before_they_are_asked_for() {
    let root = tempfile::tempdir().unwrap();
    write_folders(root.path());
    write(root.path(), "test/ant/0.png", b"not a picture");
    let dataset = Dataset::open(root.path(), ValidationSplit::Standard).unwrap();
    assert_eq!(dataset.test_len(), Some(1));
    let error = dataset.test().unwrap_err();
    assert!(matches!(error, DataError::CorruptImage { .. }), "{error}");

    let root = tempfile::tempdir().unwrap();
    write_idx(root.path(), "train", &[0, 1, 0, 1]);
    write_idx(root.path(), "t10k", &[0, 1]);
    let dataset = Dataset::open(root.path(), ValidationSplit::Standard).unwrap();
    write_idx(root.path(), "t10k", &[0, 1, 1]);
    let error = dataset.test().unwrap_err();
    assert!(matches!(error, DataError::Changed { .. }), "{error}");
}

#[test]
fn splits_in_memory_are_checked() {
    let split = |shape: ImageShape, labels: &[u32]| {
        Split::new(shape, vec![0; labels.len() * shape.bytes()], labels.to_vec()).unwrap()
    };
    let classes = || vec!["ant".to_owned(), "bee".to_owned()];
    let train = || split(SHAPE, &[0, 1]);
    let wide = ImageShape { width: 3, ..SHAPE };
    let colour = ImageShape { channels: 3, ..SHAPE };

    let good = Dataset::from_splits(classes(), train(), None, Some(split(SHAPE, &[1]))).unwrap();
    assert_eq!(good.test().unwrap().unwrap().labels(), [1]);

    let error = |train, test| Dataset::from_splits(classes(), train, None, Some(test)).unwrap_err();
    assert!(matches!(error(train(), split(wide, &[1])), DataError::MixedSizes { .. }));
    assert!(matches!(error(train(), split(colour, &[1])), DataError::MixedChannels { .. }));
    assert!(matches!(error(train(), split(SHAPE, &[])), DataError::Empty { .. }));
    assert!(matches!(error(split(SHAPE, &[]), train()), DataError::Empty { .. }));
    assert!(matches!(error(split(SHAPE, &[1, 1]), train()), DataError::OneClass { .. }));
    assert!(matches!(
        error(train(), split(SHAPE, &[0, 2])),
        DataError::LabelOutOfRange { record: 1, label: 2, classes: 2, .. }
    ));
}
