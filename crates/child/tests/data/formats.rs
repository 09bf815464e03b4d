//! Every format gives the pixels, labels and classes that were written.

use std::path::Path;

use nasrl_child::data::{Dataset, Format, ImageShape, ValidationSource, ValidationSplit};

use crate::files::{cifar, gzip, idx_images, idx_labels, jpeg, pixels, png, write};

const GREY: ImageShape = ImageShape { height: 3, width: 5, channels: 1 };
const COLOUR: ImageShape = ImageShape { height: 6, width: 4, channels: 3 };
const ALL: ValidationSplit = ValidationSplit::HoldOut(0);

fn open(root: &Path, validation: ValidationSplit) -> Dataset {
    Dataset::open(root, validation).unwrap()
}

#[test]
fn idx_in_every_spelling() {
    let images = pixels(40 * GREY.bytes(), 1);
    let labels: Vec<u8> = (0..40).map(|i| i % 3).collect();
    let (image_file, label_file) = (idx_images(GREY, &images), idx_labels(&labels));
    for (folder, ending) in [
        ("", "-idx?-ubyte"),
        ("", "-idx?-ubyte.gz"),
        ("MNIST/raw/", ".idx?-ubyte"),
        ("raw/", ".idx?-ubyte.gz"),
    ] {
        let store = if ending.ends_with(".gz") { gzip } else { <[u8]>::to_vec };
        let root = tempfile::tempdir().unwrap();
        for (set, count) in [("train", 40), ("t10k", 7)] {
            let images = idx_images(GREY, &images[..count * GREY.bytes()]);
            let labels = idx_labels(&labels[..count]);
            let name = |kind, rank| format!("{folder}{set}-{kind}{}", ending.replace('?', rank));
            write(root.path(), &name("images", "3"), &store(&images));
            write(root.path(), &name("labels", "1"), &store(&labels));
        }
        let dataset = open(root.path(), ALL);
        assert_eq!(dataset.source.format, Format::Idx);
        assert_eq!((dataset.shape, dataset.classes.len()), (GREY, 3));
        assert_eq!(dataset.train.images(), images);
        assert!(dataset.train.labels().iter().copied().eq(labels.iter().map(|&l| u32::from(l))));
        assert_eq!(dataset.test_len(), Some(7));
        let test = dataset.test().unwrap().unwrap();
        assert_eq!(test.images(), &images[..7 * GREY.bytes()]);
        assert_eq!(test.labels(), &dataset.train.labels()[..7]);
    }

    // Without a test set there is none; and a plain file is taken before a compressed one.
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "train-images-idx3-ubyte", &image_file);
    write(root.path(), "train-images-idx3-ubyte.gz", b"not looked at");
    write(root.path(), "train-labels-idx1-ubyte", &label_file);
    let dataset = open(root.path(), ALL);
    assert_eq!(dataset.test_len(), None);
    assert_eq!(dataset.test().unwrap(), None);
    assert!(
        dataset.to_string().ends_with("40 training images, no validation images, no test images")
    );
}

/// Held-out indices of 20 images from the script in `data/README.md`: 5 and 17.
#[test]
fn validation_is_held_out_of_the_training_images() {
    let root = tempfile::tempdir().unwrap();
    let labels: Vec<u8> = (0..20).collect();
    let images: Vec<u8> = labels.iter().flat_map(|&label| [label; 15]).collect();
    write(root.path(), "train-images-idx3-ubyte", &idx_images(GREY, &images));
    write(root.path(), "train-labels-idx1-ubyte", &idx_labels(&labels));
    let dataset = open(root.path(), ValidationSplit::Standard);
    let validation = dataset.validation.as_ref().unwrap();
    assert_eq!(dataset.source.validation, ValidationSource::HeldOut);
    assert_eq!(validation.labels(), [5, 17]);
    assert_eq!(validation.images(), [[5; 15], [17; 15]].concat());
    assert_eq!(dataset.train.len(), 18);
    assert_eq!(dataset.train.image(17), [19; 15]);
    assert_eq!(dataset.classes.len(), 20);

    let asked = open(root.path(), ValidationSplit::HoldOut(7));
    assert_eq!((asked.train.len(), asked.validation.unwrap().len()), (13, 7));
    assert!(open(root.path(), ALL).validation.is_none());
}

#[test]
fn cifar_10_is_turned_to_nhwc() {
    let root = tempfile::tempdir().unwrap();
    let folder = "cifar-10-batches-bin/";
    for batch in 0..5 {
        let labels: [&[u8]; 2] = [&[batch], &[9 - batch]];
        let content = cifar(&labels, 2 * usize::from(batch));
        write(root.path(), &format!("{folder}data_batch_{}.bin", batch + 1), &content);
    }
    write(root.path(), &format!("{folder}test_batch.bin"), &cifar(&[&[4]], 99));
    let names: Vec<String> = (0..10).map(|class| format!("thing {class}")).collect();
    write(
        root.path(),
        &format!("{folder}batches.meta.txt"),
        (names.join("\n") + "\n\n").as_bytes(),
    );

    let dataset = open(root.path(), ALL);
    assert_eq!(dataset.source.format, Format::Cifar10);
    assert_eq!(dataset.source.path, Some(root.path().join("cifar-10-batches-bin")));
    assert_eq!(dataset.classes, names);
    assert_eq!(dataset.shape, ImageShape { height: 32, width: 32, channels: 3 });
    assert_eq!(dataset.train.labels(), [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]);
    let test = dataset.test().unwrap().unwrap();
    assert_eq!(test.labels(), [4]);
    for (image, key) in
        [(dataset.train.image(0), 0), (dataset.train.image(7), 7), (test.image(0), 99)]
    {
        let planes = pixels(3072, key);
        for (i, pixel) in image.chunks(3).enumerate() {
            assert_eq!(pixel, [planes[i], planes[1024 + i], planes[2048 + i]], "pixel {i}");
        }
    }
    let inside = open(&root.path().join("cifar-10-batches-bin"), ALL);
    assert_eq!(inside.train, dataset.train);
}

#[test]
fn cifar_100_has_fine_labels() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "train.bin", &cifar(&[&[19, 99], &[2, 0], &[2, 41]], 0));
    let dataset = open(root.path(), ValidationSplit::HoldOut(1));
    assert_eq!(dataset.source.format, Format::Cifar100);
    assert_eq!(dataset.classes.len(), 100);
    let mut labels =
        [dataset.train.labels(), dataset.validation.as_ref().unwrap().labels()].concat();
    labels.sort_unstable();
    assert_eq!(labels, [0, 41, 99]);
    assert!(dataset.to_string().contains("100 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...)"));
}

#[test]
fn class_folders_go_by_name() {
    let root = tempfile::tempdir().unwrap();
    // Written in an order that is neither that of the names nor its reverse.
    for (class, name, key) in
        [("bee", "1.png", 3), ("ant", "b.PNG", 1), ("bee", "0.png", 2), ("ant", "a.png", 0)]
    {
        let content = png(COLOUR, &pixels(COLOUR.bytes(), key));
        write(root.path(), &format!("train/{class}/{name}"), &content);
    }
    write(root.path(), "train/.DS_Store", b"hidden");
    write(root.path(), "train/ant/.DS_Store", b"hidden");
    write(root.path(), "README.md", b"beside the splits, nobody minds");
    write(root.path(), "val/bee/x.png", &png(COLOUR, &pixels(COLOUR.bytes(), 4)));
    write(root.path(), "test/bee/y.png", &png(COLOUR, &pixels(COLOUR.bytes(), 5)));

    let dataset = open(root.path(), ValidationSplit::Standard);
    assert_eq!(dataset.source.format, Format::ClassFolders);
    assert_eq!(dataset.source.validation, ValidationSource::Given);
    assert_eq!(dataset.classes, ["ant", "bee"]);
    assert_eq!(dataset.shape, COLOUR);
    assert_eq!(dataset.train.labels(), [0, 0, 1, 1]);
    for key in 0..4 {
        assert_eq!(dataset.train.image(key), pixels(COLOUR.bytes(), key));
    }
    for (split, key) in
        [(dataset.validation.as_ref().unwrap(), 4), (&dataset.test().unwrap().unwrap(), 5)]
    {
        assert_eq!(split.labels(), [1]);
        assert_eq!(split.images(), pixels(COLOUR.bytes(), key));
    }
    assert!(open(root.path(), ALL).validation.is_none());
}

#[test]
fn jpeg_folders_are_decoded_in_colour() {
    let root = tempfile::tempdir().unwrap();
    for (class, colour) in [("red", [200, 30, 30]), ("teal", [20, 120, 120])] {
        let image = colour.repeat(COLOUR.bytes() / 3);
        write(root.path(), &format!("train/{class}/0.jpg"), &jpeg(COLOUR, &image));
        write(root.path(), &format!("validation/{class}/0.JPEG"), &jpeg(COLOUR, &image));
    }
    let dataset = open(root.path(), ValidationSplit::Standard);
    assert_eq!(dataset.train, dataset.validation.clone().unwrap());
    // Conversion to YCbCr and back, and a quantisation step of 2 at quality 95.
    for (image, colour) in [(0, [200u8, 30, 30]), (1, [20, 120, 120])] {
        for pixel in dataset.train.image(image).chunks(3) {
            let near = pixel.iter().zip(colour).all(|(&found, wanted)| found.abs_diff(wanted) <= 4);
            assert!(near, "{pixel:?}, expected about {colour:?}");
        }
    }
}

/// More files than one chunk of the decoder holds.
#[test]
fn the_format_does_not_matter() {
    let shape = ImageShape { height: 2, width: 2, channels: 1 };
    let (classes, per_class) = (3, 700);
    let images = pixels(classes * per_class * shape.bytes(), 8);
    let labels: Vec<u8> = (0..classes * per_class).map(|i| (i / per_class) as u8).collect();
    let (folders, idx) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (i, image) in images.chunks(shape.bytes()).enumerate() {
        write(folders.path(), &format!("train/{}/{i:05}.png", labels[i]), &png(shape, image));
    }
    write(idx.path(), "train-images-idx3-ubyte.gz", &gzip(&idx_images(shape, &images)));
    write(idx.path(), "train-labels-idx1-ubyte.gz", &gzip(&idx_labels(&labels)));
    let of_folders = open(folders.path(), ValidationSplit::Standard);
    let of_idx = open(idx.path(), ValidationSplit::Standard);
    assert_eq!(of_folders.validation.as_ref().unwrap().len(), 210);
    assert_eq!(of_folders.train, of_idx.train);
    assert_eq!(of_folders.validation, of_idx.validation);
    assert_eq!(of_folders.classes, of_idx.classes);
}
