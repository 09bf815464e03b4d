//! The size of images.

use std::fmt;

/// Height, width and channels of every image of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// Rows.
    pub height: usize,
    /// Pixels a row.
    pub width: usize,
    /// Bytes a pixel: 1 for grey, 3 for RGB.
    pub channels: usize,
}

impl ImageShape {
    /// Bytes of one image, `height * width * channels`.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.height * self.width * self.channels
    }

    /// [`ImageShape::bytes`], unless there are more than can be addressed.
    pub(super) fn checked_bytes(self) -> Option<usize> {
        self.height.checked_mul(self.width)?.checked_mul(self.channels)
    }
}

impl fmt::Display for ImageShape {
    /// `height x width x channels`, as in `32x32x3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}
