use super::columns::Columns;
use super::fused::with_activation;
use super::{Buffer, Cpu, with_float};
use crate::ops::{Activation, BiasBackend, Rows, Sum};
use crate::{Float, Result};

impl BiasBackend for Cpu {
    fn bias(
        &self,
        rows: Rows,
        x: &Buffer,
        b: &Buffer,
        f: Option<Activation>,
        y: &mut Buffer,
    ) -> Result<()> {
        let columns = Columns::new(rows.channels);
        let b = columns.repeat(b.slice());
        with_float!("bias", x, T => with_activation!(f, f => {
            let x = x.slice::<T>();
            self.chunks(&mut y.slice_mut::<T>()[..rows.elements()], rows.channels, |first, y| {
                let x = &x[first * rows.channels..][..y.len()];
                for (x, y) in x.chunks(b.len()).zip(y.chunks_mut(b.len())) {
                    add_bias(f, x, &b, y);
                }
            });
        }));
        Ok(())
    }

    fn bias_backward(&self, rows: Rows, dy: &Buffer, sum: Sum, db: &mut Buffer) -> Result<()> {
        let columns = Columns::new(rows.channels);
        let db = &mut db.slice_mut::<f32>()[..rows.channels];
        if sum == Sum::Store {
            db.fill(0.0);
        }
        with_float!("bias_backward", dy, T => {
            let dy = dy.slice::<T>();
            self.sum_blocks(rows.count, columns.block(), db, |block, db| {
                let dy = &dy[block.start * rows.channels..block.end * rows.channels];
                columns.sum(dy.len(), [db], |first, [sums]| {
                    for (sum, dy) in sums.iter_mut().zip(&dy[first..]) {
                        *sum += dy.to_f32();
                    }
                });
            });
        });
        Ok(())
    }
}

/// `y = f(x + b)`: a function for the sake of the compiler, which takes its slices to be disjoint
/// and vectorises it.
fn add_bias<T: Float>(f: impl Fn(f32) -> f32, x: &[T], b: &[f32], y: &mut [T]) {
    for ((y, x), b) in y.iter_mut().zip(x).zip(b) {
        *y = T::from_f32(f(x.to_f32() + b));
    }
}
