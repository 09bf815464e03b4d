/// Zeros around an image, for each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns before.
    pub left: usize,
    /// Columns after.
    pub right: usize,
}

impl Padding {
    /// TensorFlow's 'same' padding: as many windows as the input's extent divided by the stride,
    /// rounded up; an odd row or column of zeros goes to the bottom or the right.
    ///
    /// All are heights and widths; a dilated filter's `window` is `(kernel - 1) dilation + 1`.
    pub fn same(input: [usize; 2], window: [usize; 2], stride: [usize; 2]) -> Self {
        let [vertical, horizontal] = [0, 1].map(|axis| {
            let windows = input[axis].div_ceil(stride[axis]);
            (windows.saturating_sub(1) * stride[axis] + window[axis]).saturating_sub(input[axis])
        });
        Padding {
            top: vertical / 2,
            bottom: vertical.div_ceil(2),
            left: horizontal / 2,
            right: horizontal.div_ceil(2),
        }
    }

    /// Height and width of an image of `input` with its padding.
    pub fn around(&self, input: [usize; 2]) -> [usize; 2] {
        [input[0] + self.top + self.bottom, input[1] + self.left + self.right]
    }
}
