//! The dataset that comes with the crate.

use nasrl_child::data::{DataError, Dataset, Format, Split, ValidationSource, ValidationSplit};

/// The first twelve labels and the pixel sums of the first three images of each split, from the
/// script in `data/README.md`.
#[test]
fn division_is_the_documented_one() {
    let dataset = Dataset::embedded(ValidationSplit::Standard).unwrap();
    let test = dataset.test().unwrap().unwrap();
    let validation = dataset.validation.as_ref().unwrap();
    let check = |split: &Split, len: usize, labels: [u32; 12], sums: [u32; 3]| {
        assert_eq!(split.len(), len);
        assert_eq!(split.labels()[..12], labels);
        let sum = |i| split.image(i).iter().map(|&pixel| u32::from(pixel)).sum::<u32>();
        assert_eq!([0, 1, 2].map(sum), sums);
    };
    check(&dataset.train, 8000, [5, 5, 6, 3, 1, 3, 5, 5, 6, 5, 1, 0], [38_254, 16_187, 96_674]);
    check(validation, 1000, [7, 5, 8, 4, 5, 3, 9, 1, 3, 1, 3, 0], [23_357, 38_788, 70_454]);
    check(&test, 1000, [2, 0, 5, 5, 1, 6, 5, 0, 2, 0, 6, 2], [47_374, 90_493, 14_188]);

    let mut counts = [0; 10];
    let splits = [&*dataset.train, validation, &test];
    splits.iter().for_each(|split| split.labels().iter().for_each(|&l| counts[l as usize] += 1));
    assert_eq!(counts, [1000; 10]);
}

#[test]
fn validation_comes_out_of_the_training_images() {
    let standard = Dataset::embedded(ValidationSplit::Standard).unwrap();
    let whole = Dataset::embedded(ValidationSplit::HoldOut(0)).unwrap();
    assert!(whole.validation.is_none());
    assert_eq!(whole.source.validation, ValidationSource::Absent);
    assert_eq!(standard.source.validation, ValidationSource::HeldOut);
    let joined = [standard.train.images(), standard.validation.as_ref().unwrap().images()].concat();
    assert!(whole.train.images() == joined);
    assert!(whole.test().unwrap() == standard.test().unwrap());

    let refused = Dataset::embedded(ValidationSplit::HoldOut(9000));
    assert!(matches!(refused, Err(DataError::ValidationTooLarge { available: 9000, .. })));
}

#[test]
fn description_warns_against_quoting_it() {
    let dataset = Dataset::embedded(ValidationSplit::Standard).unwrap();
    assert_eq!(dataset.source.format, Format::Embedded);
    assert_eq!(
        dataset.to_string(),
        "embedded dataset: 28x28x1 pixels, 10 classes (T-shirt/top, Trouser, Pullover, Dress, \
         Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot); 8000 training images, 1000 validation \
         images held out of the training set, 1000 test images. These are the test images of \
         Fashion-MNIST, divided anew: accuracies on them are not Fashion-MNIST results"
    );
}
