use bytemuck::Zeroable;

use super::{Buffer, Cpu, with_float};
use crate::Result;
use crate::ops::{Pad2d, Pad2dBackend};

impl Pad2dBackend for Cpu {
    fn pad2d(&self, geometry: &Pad2d, images: usize, x: &Buffer, y: &mut Buffer) -> Result<()> {
        let Lines { rows, padded_rows, row, padded_row, top, left } = Lines::new(geometry);
        with_float!("pad2d", x, T => {
            let x = &x.slice::<T>()[..images * rows * row];
            let y = &mut y.slice_mut::<T>()[..images * padded_rows * padded_row];
            if padded_row == 0 {
                return Ok(());
            }
            self.chunks(y, padded_row, |first, y| {
                for (index, y) in (first..).zip(y.chunks_exact_mut(padded_row)) {
                    let (n, padded) = (index / padded_rows, index % padded_rows);
                    y.fill(T::zeroed());
                    if let Some(h) = padded.checked_sub(top).filter(|&h| h < rows) {
                        y[left..][..row].copy_from_slice(&x[(n * rows + h) * row..][..row]);
                    }
                }
            });
        });
        Ok(())
    }

    fn pad2d_backward(
        &self,
        geometry: &Pad2d,
        images: usize,
        dy: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        let Lines { rows, padded_rows, row, padded_row, top, left } = Lines::new(geometry);
        with_float!("pad2d_backward", dy, T => {
            let dy = dy.slice::<T>();
            let dx = &mut dx.slice_mut::<T>()[..images * rows * row];
            if row == 0 {
                return Ok(());
            }
            self.chunks(dx, row, |first, dx| {
                for (index, dx) in (first..).zip(dx.chunks_exact_mut(row)) {
                    let line = index / rows * padded_rows + top + index % rows;
                    dx.copy_from_slice(&dy[line * padded_row + left..][..row]);
                }
            });
        });
        Ok(())
    }
}

/// Numbers of rows and elements of a row, without and with the border, and where it ends.
struct Lines {
    rows: usize,
    padded_rows: usize,
    row: usize,
    padded_row: usize,
    top: usize,
    left: usize,
}

impl Lines {
    fn new(geometry: &Pad2d) -> Self {
        let &Pad2d { input: [rows, columns], channels, padding } = geometry;
        let [padded_rows, padded_columns] = geometry.output();
        Lines {
            rows,
            padded_rows,
            row: columns * channels,
            padded_row: padded_columns * channels,
            top: padding.top,
            left: padding.left * channels,
        }
    }
}
