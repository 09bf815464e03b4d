use super::launch::Grid;
use crate::{Error, Result};

/// Most blocks in the second dimension of a grid.
const MOST: usize = 65_535;

/// The grid of `images.cuh` over `elements` of each image, for the operation named `op`.
///
/// # Errors
/// [`Error::Parameter`] for an image of more elements than 32 bits count.
pub(super) fn each_image(op: &'static str, images: usize, elements: usize) -> Result<Grid> {
    let blocks = [elements.div_ceil(256), images.min(MOST), 1];
    counted(op, "the number of elements of an image", elements)?;
    Ok(Grid { blocks, ..Grid::blocks(0) })
}

/// A number that a kernel counts with 32 bits, and to which it may add a few more.
///
/// # Errors
/// [`Error::Parameter`] if it is 2^31 or more.
pub(super) fn counted(op: &'static str, name: &'static str, value: usize) -> Result<u32> {
    match u32::try_from(value) {
        Ok(counted) if counted < 1 << 31 => Ok(counted),
        _ => Err(Error::Parameter { op, name, value: value.to_string(), rule: "below 2^31" }),
    }
}

/// [`counted`] for a height and a width or the like.
pub(super) fn counted2(
    op: &'static str,
    name: &'static str,
    values: [usize; 2],
) -> Result<[u32; 2]> {
    Ok([counted(op, name, values[0])?, counted(op, name, values[1])?])
}
