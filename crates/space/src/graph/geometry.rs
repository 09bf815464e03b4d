//! Shapes, and where sliding windows stand on them.

use std::fmt;

use serde::Serialize;

/// The shape of one image or feature map, without the batch: NHWC without N.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Image {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels, innermost in memory.
    pub channels: usize,
}

/// A height and a width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Extent {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// Numbers of rows and columns at the four sides of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Sides {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

/// How far windows reach over the edge of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// TensorFlow's: as little as makes the output `ceil(input / stride)`, that is
    /// `max((output - 1) * stride + span - input, 0)` in all with `span = (size - 1) * dilation + 1`,
    /// of which half, rounded down, stands above and to the left.
    Same,
    /// None: windows stay inside the image.
    Valid,
    /// As given.
    Explicit(Sides),
}

/// A window that slides over an image, of a convolution or of a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Positions that are read.
    pub size: Extent,
    /// Step from one window to the next.
    pub stride: Extent,
    /// Step from one position of the window to the next; 1 is dense.
    pub dilation: Extent,
    /// How far it reaches over the edge.
    pub padding: Padding,
}

/// One axis of a [`Window`].
struct Axis {
    size: usize,
    stride: usize,
    dilation: usize,
}

impl Image {
    /// Height and width.
    pub fn extent(self) -> Extent {
        Extent { height: self.height, width: self.width }
    }

    /// `height * width * channels`, saturating.
    pub fn elements(self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(self.channels)
    }
}

impl Extent {
    /// As high as wide.
    pub const fn square(side: usize) -> Extent {
        Extent { height: side, width: side }
    }

    /// An image of this extent.
    pub fn image(self, channels: usize) -> Image {
        Image { height: self.height, width: self.width, channels }
    }
}

impl Sides {
    /// Whether nothing is added at any side.
    pub fn is_zero(self) -> bool {
        self == Sides::default()
    }

    /// The extent of an image of extent `inner` with this around it.
    pub fn around(self, inner: Extent) -> Extent {
        Extent {
            height: inner.height + self.top + self.bottom,
            width: inner.width + self.left + self.right,
        }
    }
}

impl Window {
    /// The padding as numbers, for an image of extent `input`.
    pub fn sides(&self, input: Extent) -> Sides {
        match self.padding {
            Padding::Valid => Sides::default(),
            Padding::Explicit(sides) => sides,
            Padding::Same => {
                let (top, bottom) = self.vertical().same(input.height);
                let (left, right) = self.horizontal().same(input.width);
                Sides { top, bottom, left, right }
            }
        }
    }

    /// The extent of the result on an image of extent `input`: along each axis
    /// `floor((input + padding - span) / stride) + 1`, with `span = (size - 1) * dilation + 1`.
    ///
    /// `None` where no window fits, or where a size, stride or dilation is zero.
    pub fn output(&self, input: Extent) -> Option<Extent> {
        let padded = self.sides(input).around(input);
        Some(Extent {
            height: self.vertical().output(padded.height)?,
            width: self.horizontal().output(padded.width)?,
        })
    }

    fn vertical(&self) -> Axis {
        Axis { size: self.size.height, stride: self.stride.height, dilation: self.dilation.height }
    }

    fn horizontal(&self) -> Axis {
        Axis { size: self.size.width, stride: self.stride.width, dilation: self.dilation.width }
    }
}

impl Axis {
    /// Positions from the first that a window reads to the last.
    fn span(&self) -> usize {
        self.size.saturating_sub(1) * self.dilation + 1
    }

    fn output(&self, padded: usize) -> Option<usize> {
        if self.size == 0 || self.dilation == 0 {
            return None;
        }
        Some(padded.checked_sub(self.span())?.checked_div(self.stride)? + 1)
    }

    fn same(&self, input: usize) -> (usize, usize) {
        if self.stride == 0 || input == 0 {
            return (0, 0);
        }
        let last = (input.div_ceil(self.stride) - 1) * self.stride;
        let total = (last + self.span()).saturating_sub(input);
        (total / 2, total - total / 2)
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.extent(), self.channels)
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

impl fmt::Display for Sides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.top, self.bottom, self.left, self.right)
    }
}
