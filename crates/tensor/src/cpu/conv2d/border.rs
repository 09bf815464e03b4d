//! Images with zeros around them, in the form that the micro-kernel reads.

use half::bf16;

use crate::cpu::kernel::WORD;
use crate::cpu::scratch::{Demand, Scratch, Slot};
use crate::cpu::simd::Engine;
use crate::ops::Padding;
use crate::{DType, Float};

/// An image and the zeros that a pass needs around it. Strides are in elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bordered {
    rows: usize,
    /// Elements of a row of the image itself.
    row: usize,
    top: usize,
    bottom: usize,
    left: usize,
    /// Elements from one row to the next, border included.
    pub(super) pitch: usize,
    form: Form,
    /// Whether the image can be read where it is.
    direct: bool,
    slot: Slot,
}

/// Whether a pass stays within an image and its border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It does.
    Within,
    /// Some pair or vector begins inside and ends after the last element.
    Beyond,
}

/// The elements of a scratch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `f32`, each a word.
    Single,
    /// bf16, two neighbours a word, in the order of the image.
    Pairs,
}

impl Form {
    /// The form that an engine multiplies.
    pub(super) fn of(engine: Engine) -> Form {
        if engine.paired() { Form::Pairs } else { Form::Single }
    }

    /// Bytes from one element to the next.
    pub(super) const fn bytes(self) -> usize {
        WORD / self.elements()
    }

    /// Elements of a word.
    pub(super) const fn elements(self) -> usize {
        match self {
            Form::Single => 1,
            Form::Pairs => 2,
        }
    }

    /// Words of a run of elements.
    pub(super) const fn words(self, elements: usize) -> usize {
        elements.div_ceil(self.elements())
    }
}

impl Read {
    /// How a run of elements is read by units of `unit` elements.
    pub(super) fn of(elements: usize, unit: usize) -> Read {
        if elements.is_multiple_of(unit) { Read::Within } else { Read::Beyond }
    }
}

impl Bordered {
    /// The layout of images `[rows, columns, channels]` of a dtype with `border` around them.
    pub(super) fn new(
        [rows, columns, channels]: [usize; 3],
        border: Padding,
        (dtype, form): (DType, Form),
        read: Read,
    ) -> Self {
        let stored_as_read = match form {
            Form::Single => dtype == DType::F32,
            Form::Pairs => dtype == DType::BF16,
        };
        Bordered {
            rows,
            row: columns * channels,
            top: border.top,
            bottom: border.bottom,
            left: border.left * channels,
            pitch: (border.left + columns + border.right) * channels,
            form,
            direct: stored_as_read && read == Read::Within && border == Padding::default(),
            slot: Slot::Image,
        }
    }

    /// The same layout in a scratch of its own, for a pass that reads two operands at once.
    pub(super) fn in_slot(self, slot: Slot) -> Self {
        Bordered { slot, ..self }
    }

    /// Elements with the border.
    fn len(&self) -> usize {
        (self.top + self.rows + self.bottom) * self.pitch
    }

    /// The scratch that [`Bordered::place`] takes.
    pub(super) fn scratch(&self) -> Demand {
        Demand::of(self.slot, if self.direct { 0 } else { self.form.words(self.len() + 1) })
    }

    /// The scratch that [`Bordered::place_woven`] takes.
    pub(super) fn woven_scratch(&self, distance: usize) -> Demand {
        let padded = Demand::of(self.slot, Form::Pairs.words(self.len() + distance + 1));
        padded.and(Demand::of(Slot::WovenImage, self.len()))
    }

    /// The address of the first element of the image with its border, for reads by whole vectors
    /// past its elements unless it is the image's own; the element after the last is finite.
    #[inline(always)]
    pub(super) fn place<T: Float>(&self, image: &[T], scratch: &mut Scratch) -> *const u8 {
        if self.direct {
            return image.as_ptr().cast();
        }
        let to = scratch.words(self.slot, self.form.words(self.len() + 1));
        match self.form {
            Form::Single => self.fill::<T, f32>(image, bytemuck::cast_slice_mut(to)),
            Form::Pairs => self.fill::<T, bf16>(image, bytemuck::cast_slice_mut(to)),
        }
        to.as_ptr().cast()
    }

    /// As [`Bordered::place`] for pairs, but each element is woven with the one `distance`
    /// elements later: words `x[i] | x[i + distance] << 16`, which hold two neighbouring windows.
    #[inline(always)]
    pub(super) fn place_woven<T: Float>(
        &self,
        image: &[T],
        distance: usize,
        scratch: &mut Scratch,
    ) -> *const u8 {
        let length = self.len();
        let padded = scratch.words(self.slot, Form::Pairs.words(length + distance + 1));
        let padded: &mut [bf16] = bytemuck::cast_slice_mut(padded);
        self.fill(image, padded);
        padded[length..length + distance].fill(bf16::ZERO);
        let padded = padded.as_ptr();
        let woven = &mut scratch.words(Slot::WovenImage, length)[..length];
        for (i, word) in woven.iter_mut().enumerate() {
            // SAFETY: `length + distance` elements were just written in another slot.
            let (near, far) = unsafe { (padded.add(i).read(), padded.add(i + distance).read()) };
            *word = u32::from(near.to_bits()) | u32::from(far.to_bits()) << 16;
        }
        woven.as_ptr().cast()
    }

    #[inline(always)]
    fn fill<T: Float, U: Float>(&self, image: &[T], to: &mut [U]) {
        let zero = U::from_f32(0.0);
        to[..self.top * self.pitch].fill(zero);
        let right = self.left + self.row;
        for (row, image) in image.chunks_exact(self.row).enumerate() {
            let to = &mut to[(self.top + row) * self.pitch..][..self.pitch];
            to[..self.left].fill(zero);
            for (to, from) in to[self.left..right].iter_mut().zip(image) {
                *to = U::from_f32(from.to_f32());
            }
            to[right..].fill(zero);
        }
        to[(self.top + self.rows) * self.pitch..=self.len()].fill(zero);
    }
}

/// Pixels of a map, in pairs along its rows: `word[p, q / 2, k] = dy[p, q, k] | dy[p, q + 1, k] <<
/// 16` for even `q`, with zero past the end of a row. The address is valid for reads by whole
/// vectors.
#[inline(always)]
pub(super) fn place_paired_columns<T: Float>(
    dy: &[T],
    [rows, columns, channels]: [usize; 3],
    scratch: &mut Scratch,
) -> *const u8 {
    let pairs = columns.div_ceil(2);
    let words = scratch.words(Slot::Map, paired_words([rows, columns, channels]));
    let bits = |value: &T| u32::from(bf16::from_f32(value.to_f32()).to_bits());
    let rows = dy.chunks_exact(columns * channels);
    for (row, words) in rows.zip(words.chunks_exact_mut(pairs * channels)) {
        let pixels = row.chunks(2 * channels);
        for (pixels, words) in pixels.zip(words.chunks_exact_mut(channels)) {
            let (even, odd) = pixels.split_at(channels);
            for (word, even) in words.iter_mut().zip(even) {
                *word = bits(even);
            }
            for (word, odd) in words.iter_mut().zip(odd) {
                *word |= bits(odd) << 16;
            }
        }
    }
    words.as_ptr().cast()
}

/// The words of [`place_paired_columns`].
pub(super) fn paired_words([rows, columns, channels]: [usize; 3]) -> usize {
    rows * columns.div_ceil(2) * channels
}
