//! Loading takes the memory of the decoded images and little else. A test of its own process,
//! because it counts every allocation.

use std::fs;

use nasrl_child::data::{DataError, Dataset, ValidationSplit};
use nasrl_tests::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The highest number of bytes in use during `work`, above those in use before.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATOR.current();
    ALLOCATOR.forget_peak();
    let result = work();
    (result, ALLOCATOR.peak() - before)
}

#[test]
fn memory_is_what_the_images_take() {
    const RECORDS: usize = 600;
    let cifar = tempfile::tempdir().unwrap();
    let batch: Vec<u8> = (0..RECORDS * 3073)
        .map(|i| if i % 3073 == 0 { (i / 3073 % 10) as u8 } else { i as u8 })
        .collect();
    for name in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"] {
        fs::write(cifar.path().join(name).with_extension("bin"), &batch).unwrap();
    }
    let (dataset, peak) = peak_of(|| Dataset::open(cifar.path(), ValidationSplit::Standard));
    let dataset = dataset.unwrap();
    assert_eq!(dataset.train.len() + dataset.validation.unwrap().len(), 5 * RECORDS);
    // The images, a tenth of them for a moment twice, labels and indices, a read buffer.
    let images = 5 * RECORDS * 3072;
    assert!(peak < images + images / 10 + (256 << 10), "{peak} bytes for {images} of images");

    let claims = tempfile::tempdir().unwrap();
    let header = |numbers: &[u32]| -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    };
    let images = header(&[0x0803, u32::MAX, 1, 1]);
    fs::write(claims.path().join("train-images-idx3-ubyte"), images).unwrap();
    let labels = header(&[0x0801, u32::MAX]);
    fs::write(claims.path().join("train-labels-idx1-ubyte"), labels).unwrap();
    let (refused, peak) = peak_of(|| Dataset::open(claims.path(), ValidationSplit::Standard));
    assert!(matches!(refused, Err(DataError::Truncated { end: 8, .. })), "{refused:?}");
    assert!(peak < 256 << 10, "{peak} bytes for a header that claims 4 billion labels");
}
