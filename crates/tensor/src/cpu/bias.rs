use std::marker::PhantomData;

use super::columns::{self, Elementwise, NO_OUTPUT, Pass, Total};
use super::curve::{Curve, with_curve};
use super::simd::Simd;
use super::{Buffer, Cpu, with_float};
use crate::Result;
use crate::ops::{Activation, BiasBackend, Rows, Sum};

impl BiasBackend for Cpu {
    fn bias(
        &self,
        rows: Rows,
        x: &Buffer,
        b: &Buffer,
        f: Option<Activation>,
        y: &mut Buffer,
    ) -> Result<()> {
        let channels = rows.channels;
        let lines = [b.slice::<f32>()];
        with_float!("bias", x, T => with_curve!(f, F => {
            let x = x.slice::<T>();
            self.chunks(&mut y.slice_mut::<T>()[..rows.elements()], channels, |first, y| {
                let inputs = [&x[first * channels..][..y.len()]];
                let pass = Pass { channels, inputs, lines, sums: [], output: Some(y) };
                pass.run(self, Biased::<F>(PhantomData));
            });
        }));
        Ok(())
    }

    fn bias_backward(&self, rows: Rows, dy: &Buffer, sum: Sum, db: &mut Buffer) -> Result<()> {
        let channels = rows.channels;
        let db = &mut db.slice_mut::<f32>()[..channels];
        if sum == Sum::Store {
            db.fill(0.0);
        }
        with_float!("bias_backward", dy, T => {
            let dy = dy.slice::<T>();
            self.sum_blocks(rows.count, columns::block(channels), db, |block, db| {
                let inputs = [&dy[block.start * channels..block.end * channels]];
                let pass = Pass { channels, inputs, lines: [], sums: [db], output: NO_OUTPUT };
                pass.run(self, Total);
            });
        });
        Ok(())
    }
}

/// `f(x + b)`.
struct Biased<F>(PhantomData<F>);

impl<F: Curve> Elementwise<1, 1, 0> for Biased<F> {
    #[inline(always)]
    unsafe fn of<S: Simd>(
        &self,
        [x]: [S::Vector; 1],
        [b]: &[S::Vector; 1],
        _: &mut [S::Vector; 0],
    ) -> S::Vector {
        // SAFETY: the caller's.
        unsafe { F::value::<S>(S::add(x, *b)) }
    }
}
