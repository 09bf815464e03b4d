//! Filters in the order in which the micro-kernel reads them.

use super::border::Form;
use crate::cpu::kernel::WORD;
use crate::{DType, Float};

/// Filters as the vector operand of a product: words `[k][columns]`, columns padded with zeros to
/// whole vectors.
pub(super) struct Packed {
    form: Form,
    /// The index in the filters of each element of the sum, for column 0; none for an element
    /// that only completes a pair.
    sources: Vec<Option<u32>>,
    /// Distance in the filters from one column to the next.
    column_step: usize,
    columns: usize,
    /// Words from one `k` to the next.
    pub(super) pitch: usize,
    words: Vec<u32>,
}

impl Packed {
    /// Room for filters of `columns` columns, read by vectors of `lanes`.
    pub(super) fn new(form: Form, [columns, column_step]: [usize; 2], lanes: usize) -> Self {
        let pitch = columns.next_multiple_of(lanes);
        Packed { form, sources: Vec::new(), column_step, columns, pitch, words: Vec::new() }
    }

    /// Appends the elements of a run and returns its first word and its length in words. Once all
    /// are there, [`Packed::make_room`] must follow.
    pub(super) fn append(&mut self, elements: impl IntoIterator<Item = u32>) -> (u32, u32) {
        let first = self.k();
        self.sources.extend(elements.into_iter().map(Some));
        if self.form == Form::Pairs && !self.sources.len().is_multiple_of(2) {
            self.sources.push(None);
        }
        let length = self.k() - first;
        ((first * self.pitch) as u32, length as u32)
    }

    /// Allocates the filters' words, which are zero.
    pub(super) fn make_room(&mut self) {
        self.sources.shrink_to_fit();
        self.words = vec![0; self.k() * self.pitch];
    }

    /// Bytes that it takes with its words, be they allocated or not.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.sources[..]) + WORD * self.k() * self.pitch
    }

    /// Takes the filters' values, rounded to the plan's dtype.
    pub(super) fn load<T: Float>(&mut self, filters: &[f32]) {
        let step = self.column_step;
        let value = |source: Option<u32>, column: usize| match source {
            Some(source) => T::from_f32(filters[source as usize + column * step]),
            None => T::from_f32(0.0),
        };
        let rows = self.words.chunks_exact_mut(self.pitch.max(1));
        match self.form {
            Form::Single => {
                for (row, &source) in rows.zip(&self.sources) {
                    for (column, word) in row[..self.columns].iter_mut().enumerate() {
                        *word = value(source, column).to_f32().to_bits();
                    }
                }
            }
            Form::Pairs => {
                debug_assert_eq!(T::DTYPE, DType::BF16);
                let bits = |value: T| value.to_f32().to_bits() >> 16;
                for (row, pair) in rows.zip(self.sources.chunks_exact(2)) {
                    for (column, word) in row[..self.columns].iter_mut().enumerate() {
                        *word = bits(value(pair[0], column)) | bits(value(pair[1], column)) << 16;
                    }
                }
            }
        }
    }

    pub(super) fn as_ptr(&self) -> *const f32 {
        self.words.as_ptr().cast()
    }

    fn k(&self) -> usize {
        self.form.words(self.sources.len())
    }
}
