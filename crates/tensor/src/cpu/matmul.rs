use super::kernel::{Output, Product, Run, WORD};
use super::scratch::{Slot, with_scratch};
use super::simd::{Arithmetic, Engine, Simd, Task};
use super::{Buffer, Cpu, with_float};
use crate::ops::{Matmul, MatmulBackend, Operand, Sum};
use crate::{DType, Float, Result};

impl MatmulBackend for Cpu {
    fn matmul(
        &self,
        geometry: &Matmul,
        a: &Buffer,
        b: &Buffer,
        sum: Sum,
        c: &mut Buffer,
    ) -> Result<()> {
        let Matmul { m, n, k, .. } = *geometry;
        let engine = Engine::new(self.isa, DType::F32);
        let b_pitch = n.next_multiple_of(engine.lanes());
        let slots = [(Slot::MatrixRows, m), (Slot::MatrixA, m * k), (Slot::MatrixB, k * b_pitch)];
        with_float!("matmul", a, T => with_float!("matmul", c, U => with_scratch(|scratch| {
            let [rows, a_words, b_words] = scratch.disjoint(slots);
            let rows = row_offsets(geometry, rows);
            let a = singles(&a.slice::<T>()[..m * k], a_words);
            let b = padded_columns(geometry, &b.slice::<T>()[..k * n], b_pitch, b_words);
            self.chunks(&mut c.slice_mut::<U>()[..m * n], n, |first, c| {
                let rows = &rows[first..first + c.len() / n];
                engine.run(Rows { geometry, a, rows, b, b_pitch, sum, c });
            });
        })));
        Ok(())
    }
}

/// The byte offset of each row of `a`.
fn row_offsets<'a>(geometry: &Matmul, rows: &'a mut [u32]) -> &'a [u32] {
    let distance = match geometry.a {
        Operand::Plain => geometry.k,
        Operand::Transposed => 1,
    };
    for (row, offset) in rows[..geometry.m].iter_mut().enumerate() {
        *offset = (row * distance * WORD) as u32;
    }
    &rows[..geometry.m]
}

/// `a` in f32.
fn singles<'a, T: Float>(a: &'a [T], words: &'a mut [u32]) -> &'a [f32] {
    if T::DTYPE == DType::F32 {
        return bytemuck::cast_slice(a);
    }
    let singles: &mut [f32] = bytemuck::cast_slice_mut(words);
    for (to, from) in singles.iter_mut().zip(a) {
        *to = from.to_f32();
    }
    singles
}

/// `b` in f32 as `[k, n]`, its rows padded to whole vectors.
fn padded_columns<'a, T: Float>(
    geometry: &Matmul,
    b: &'a [T],
    pitch: usize,
    words: &'a mut [u32],
) -> &'a [f32] {
    let Matmul { n, k, .. } = *geometry;
    if T::DTYPE == DType::F32 && geometry.b == Operand::Plain && pitch == n {
        return bytemuck::cast_slice(b);
    }
    let padded: &mut [f32] = bytemuck::cast_slice_mut(words);
    for (row, to) in padded.chunks_exact_mut(pitch).enumerate().take(k) {
        match geometry.b {
            Operand::Plain => {
                for (to, from) in to.iter_mut().zip(&b[row * n..][..n]) {
                    *to = from.to_f32();
                }
            }
            Operand::Transposed => {
                for (to, from) in to.iter_mut().zip(b[row..].iter().step_by(k)) {
                    *to = from.to_f32();
                }
            }
        }
    }
    padded
}

/// Some rows of a product.
struct Rows<'a, T> {
    geometry: &'a Matmul,
    a: &'a [f32],
    rows: &'a [u32],
    b: &'a [f32],
    b_pitch: usize,
    sum: Sum,
    c: &'a mut [T],
}

impl<T: Float> Task for Rows<'_, T> {
    #[inline(always)]
    fn run<M: Arithmetic>(self) {
        let Matmul { m, n, k, .. } = *self.geometry;
        let a_step = match self.geometry.a {
            Operand::Plain => WORD,
            Operand::Transposed => m * WORD,
        };
        let product = Product {
            a: self.a.as_ptr().cast(),
            rows: self.rows,
            a_step,
            b: self.b.as_ptr(),
            b_pitch: self.b_pitch,
            runs: &[Run { a: 0, b: 0, len: k as u32 }],
            n,
        };
        let matrix = Matrix { c: self.c.as_mut_ptr(), pitch: n, sum: self.sum };
        // SAFETY: the rows' offsets and the step stay within the m k values of `a`, the rows of
        // `b` are whole vectors, and `c` has a row for each offset; the task runs on the engine
        // whose lanes padded `b`.
        unsafe { M::multiply(&product, &matrix) }
    }
}

/// `c[row pitch + column] = sum`, or added to it.
struct Matrix<T> {
    c: *mut T,
    pitch: usize,
    sum: Sum,
}

impl<T: Float> Output for Matrix<T> {
    #[inline(always)]
    unsafe fn initial<S: Simd>(&self, _: usize, _: usize) -> S::Vector {
        // SAFETY: the caller has the instruction set.
        unsafe { S::splat(0.0) }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(&self, row: usize, column: usize, sums: S::Vector, lanes: usize) {
        // SAFETY: the maker of the struct promises a value at every row and column.
        unsafe {
            let to = self.c.add(row * self.pitch + column);
            let sums = match self.sum {
                Sum::Store => sums,
                Sum::Add => S::add(S::load_as(to, lanes), sums),
            };
            S::store_as(to, sums, lanes);
        }
    }
}
