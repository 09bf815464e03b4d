//! What must hold of every dataset, whatever its format.

use std::path::Path;

use super::error::DataError;
use super::shape::ImageShape;
use super::split::Split;

/// Refuses a label that is not below `classes`; `file` is where the labels stand.
pub(super) fn check_labels(labels: &[u32], classes: usize, file: &Path) -> Result<(), DataError> {
    match labels.iter().position(|&label| label as usize >= classes) {
        None => Ok(()),
        Some(record) => {
            let label = labels[record];
            Err(DataError::LabelOutOfRange { file: file.into(), record, label, classes })
        }
    }
}

/// Refuses the second image unless it has the shape of the first; the error names both.
pub(super) fn check_same_shape(
    (first, first_shape): (&Path, ImageShape),
    (other, other_shape): (&Path, ImageShape),
) -> Result<(), DataError> {
    let (first, other) = (first.into(), other.into());
    if (first_shape.height, first_shape.width) != (other_shape.height, other_shape.width) {
        Err(DataError::MixedSizes { first, first_shape, other, other_shape })
    } else if first_shape.channels != other_shape.channels {
        Err(DataError::MixedChannels { first, first_shape, other, other_shape })
    } else {
        Ok(())
    }
}

/// Refuses to hold out all images of a training set.
pub(super) fn check_hold_out(
    requested: usize,
    available: usize,
    path: &Path,
) -> Result<(), DataError> {
    if requested > 0 && requested >= available {
        let path = path.into();
        return Err(DataError::ValidationTooLarge { path, requested, available });
    }
    Ok(())
}

/// Refuses a training set of one class; it must have images.
pub(super) fn check_classes(
    train: &Split,
    classes: &[String],
    path: &Path,
) -> Result<(), DataError> {
    let labels = train.labels();
    if labels.iter().all(|label| *label == labels[0]) {
        let class = classes[labels[0] as usize].clone();
        return Err(DataError::OneClass { path: path.into(), class });
    }
    Ok(())
}
