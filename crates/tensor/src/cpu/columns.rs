//! Passes over rows of channels, vector by vector.
//!
//! As many rows as fill [`WIDE`] elements are taken as one wide row, and a pass goes down the wide
//! rows one column of vectors after another: what belongs to the channels of a column, constants
//! and sums, stays in registers.

use super::Cpu;
use super::simd::{Arithmetic, Engine, MAX_LANES, Simd, Task};
use crate::{DType, Float};

/// Elements of a wide row, of channels that are no more than that: as many as there are in a few
/// vectors, so that little of a vector lies idle whatever the channels.
const WIDE: usize = 64;

/// Elements that all columns of a wide row are gone through for before the next: they and those of
/// two other operands stay in a first-level cache.
const CHUNK: usize = 4 * 1024;

/// Elements of a block of rows whose sums are made in one go; a quarter of a second-level cache.
const BLOCK: usize = 32 * 1024;

/// Wide rows with sums of their own, since one addition takes as long as several that do not wait
/// for each other.
const APART: usize = 4;

/// How many rows are summed at a time where their sums are then added up: a function of the
/// channels alone, so that the threads do not show.
pub(super) fn block(channels: usize) -> usize {
    (BLOCK / channels).max(1)
}

/// What is computed of each element.
pub(super) trait Elementwise<const INPUTS: usize, const LINES: usize, const SUMS: usize> {
    /// The output of an element from its inputs and what its channel has in the lines; adds to the
    /// sums of its channel.
    ///
    /// # Safety
    /// [`Simd`]'s.
    unsafe fn of<S: Simd>(
        &self,
        inputs: [S::Vector; INPUTS],
        lines: &[S::Vector; LINES],
        sums: &mut [S::Vector; SUMS],
    ) -> S::Vector;
}

/// A pass over rows of channels.
pub(super) struct Pass<'a, T, U, const INPUTS: usize, const LINES: usize, const SUMS: usize> {
    pub(super) channels: usize,
    /// Rows of channels, of one length.
    pub(super) inputs: [&'a [T]; INPUTS],
    /// A value for each channel.
    pub(super) lines: [&'a [f32]; LINES],
    /// Sums for each channel, which are added to.
    pub(super) sums: [&'a mut [f32]; SUMS],
    /// Rows as long as those of the inputs.
    pub(super) output: Option<&'a mut [U]>,
}

/// The output of a pass that has none.
pub(super) const NO_OUTPUT: Option<&mut [f32]> = None;

/// `sum += x`.
pub(super) struct Total;

/// `x`, in the dtype of the output.
pub(super) struct Same;

impl<T, U, const INPUTS: usize, const LINES: usize, const SUMS: usize>
    Pass<'_, T, U, INPUTS, LINES, SUMS>
where
    T: Float,
    U: Float,
{
    /// Goes over all of the rows.
    pub(super) fn run<F: Elementwise<INPUTS, LINES, SUMS>>(self, on: &Cpu, f: F) {
        let of_inputs = self.inputs.iter().map(|input| input.len());
        let of_output = self.output.iter().map(|output| output.len());
        let elements = of_inputs.chain(of_output).min().unwrap_or(0);
        assert_eq!(elements % self.channels, 0, "rows are whole");
        let of_lines = self.lines.iter().map(|line| line.len());
        let of_sums = self.sums.iter().map(|sums| sums.len());
        assert!(
            of_lines.chain(of_sums).all(|len| len >= self.channels),
            "a value for each channel"
        );
        on.engine().run(Sweep { pass: self, f, elements });
    }
}

impl Elementwise<1, 0, 1> for Total {
    #[inline(always)]
    unsafe fn of<S: Simd>(
        &self,
        [x]: [S::Vector; 1],
        _: &[S::Vector; 0],
        [sum]: &mut [S::Vector; 1],
    ) -> S::Vector {
        // SAFETY: the caller's.
        unsafe { *sum = S::add(*sum, x) };
        x
    }
}

impl Elementwise<1, 0, 0> for Same {
    #[inline(always)]
    unsafe fn of<S: Simd>(
        &self,
        [x]: [S::Vector; 1],
        _: &[S::Vector; 0],
        _: &mut [S::Vector; 0],
    ) -> S::Vector {
        x
    }
}

impl Cpu {
    /// That of loops over single values.
    pub(super) fn engine(&self) -> Engine {
        Engine::new(self.isa, DType::F32)
    }
}

struct Sweep<'a, T, U, F, const INPUTS: usize, const LINES: usize, const SUMS: usize> {
    pass: Pass<'a, T, U, INPUTS, LINES, SUMS>,
    f: F,
    elements: usize,
}

impl<T, U, F, const INPUTS: usize, const LINES: usize, const SUMS: usize> Task
    for Sweep<'_, T, U, F, INPUTS, LINES, SUMS>
where
    T: Float,
    U: Float,
    F: Elementwise<INPUTS, LINES, SUMS>,
{
    #[inline(always)]
    fn run<M: Arithmetic>(mut self) {
        let channels = self.pass.channels;
        let width = channels * (WIDE / channels).max(1);
        let chunk = width * (CHUNK / width).max(1);
        let mut first = 0;
        while first < self.elements {
            let len = chunk.min(self.elements - first);
            let mut column = 0;
            while column < width.min(len) {
                let lanes = M::S::LANES.min(width - column);
                // SAFETY: the column's lanes lie within a wide row, the chunk within the elements;
                // `Engine::run` gives the instruction set. Two calls, since the first is compiled
                // for whole vectors.
                unsafe {
                    match lanes == M::S::LANES {
                        true => self.column::<M::S>(first..first + len, width, column, M::S::LANES),
                        false => self.column::<M::S>(first..first + len, width, column, lanes),
                    }
                }
                column += M::S::LANES;
            }
            first += len;
        }
    }
}

impl<T, U, F, const INPUTS: usize, const LINES: usize, const SUMS: usize>
    Sweep<'_, T, U, F, INPUTS, LINES, SUMS>
where
    T: Float,
    U: Float,
    F: Elementwise<INPUTS, LINES, SUMS>,
{
    /// The elements of a chunk that lie in `lanes` lanes from `column` on of each wide row.
    ///
    /// # Safety
    /// [`Simd`]'s; the chunk is one of the elements, the lanes lie within the wide row.
    #[inline(always)]
    unsafe fn column<S: Simd>(
        &mut self,
        chunk: std::ops::Range<usize>,
        width: usize,
        column: usize,
        lanes: usize,
    ) {
        // SAFETY: every place is below the chunk's end, which lies within inputs and output.
        unsafe {
            let mut lines = [S::splat(0.0); LINES];
            for (line, values) in lines.iter_mut().zip(&self.pass.lines) {
                *line = repeated::<S>(&values[..self.pass.channels], column, lanes);
            }
            let mut sums = [[S::splat(0.0); SUMS]; APART];
            let mut at = chunk.start + column;
            while at + (APART - 1) * width + lanes <= chunk.end {
                for (row, sums) in sums.iter_mut().enumerate() {
                    self.element::<S>(at + row * width, lanes, &lines, sums);
                }
                at += APART * width;
            }
            while at + lanes <= chunk.end {
                self.element::<S>(at, lanes, &lines, &mut sums[0]);
                at += width;
            }
            self.fold::<S>(&sums, column, lanes);
            // The last row may end within the column's lanes.
            if at < chunk.end {
                let lanes = chunk.end - at;
                let mut sums = [[S::splat(0.0); SUMS]; APART];
                self.element::<S>(at, lanes, &lines, &mut sums[0]);
                self.fold::<S>(&sums, column, lanes);
            }
        }
    }

    /// # Safety
    /// [`Simd`]'s, and `lanes` elements from `at` on are there.
    #[inline(always)]
    unsafe fn element<S: Simd>(
        &mut self,
        at: usize,
        lanes: usize,
        lines: &[S::Vector; LINES],
        sums: &mut [S::Vector; SUMS],
    ) {
        // SAFETY: the caller's.
        unsafe {
            let mut inputs = [S::splat(0.0); INPUTS];
            for (value, input) in inputs.iter_mut().zip(&self.pass.inputs) {
                *value = S::load_as(input.as_ptr().add(at), lanes);
            }
            let value = self.f.of::<S>(inputs, lines, sums);
            if let Some(output) = &mut self.pass.output {
                S::store_as(output.as_mut_ptr().add(at), value, lanes);
            }
        }
    }

    /// Adds a column's sums to those of its channels.
    ///
    /// # Safety
    /// [`Simd`]'s.
    #[inline(always)]
    unsafe fn fold<S: Simd>(
        &mut self,
        sums: &[[S::Vector; SUMS]; APART],
        column: usize,
        lanes: usize,
    ) {
        for (index, totals) in self.pass.sums.iter_mut().enumerate() {
            let mut values = [0.0f32; MAX_LANES];
            // SAFETY: the array has room for the widest vector.
            unsafe {
                let [a, b] = [0, 2].map(|row| [sums[row][index], sums[row + 1][index]]);
                let (a, b) = (S::add(a[0], a[1]), S::add(b[0], b[1]));
                S::store(values.as_mut_ptr(), S::add(a, b));
            }
            for (lane, value) in values.iter().enumerate().take(lanes) {
                totals[(column + lane) % self.pass.channels] += value;
            }
        }
    }
}

/// What the channels of a column have in a line.
///
/// # Safety
/// [`Simd`]'s.
#[inline(always)]
unsafe fn repeated<S: Simd>(values: &[f32], column: usize, lanes: usize) -> S::Vector {
    let first = column % values.len();
    // SAFETY: the lanes that are read lie within the values, or within the array.
    unsafe {
        if first + lanes <= values.len() {
            return S::load_partial(values.as_ptr().add(first), lanes);
        }
        let mut repeated = [0.0f32; MAX_LANES];
        for (lane, to) in repeated.iter_mut().enumerate().take(lanes) {
            *to = values[(column + lane) % values.len()];
        }
        S::load(repeated.as_ptr())
    }
}
