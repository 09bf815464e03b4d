use super::add::accumulate;
use super::{Buffer, Cpu, with_float};
use crate::Result;
use crate::ops::{ConcatBackend, CopyChannels, Sum};

impl ConcatBackend for Cpu {
    fn copy_channels(
        &self,
        geometry: &CopyChannels,
        x: &Buffer,
        sum: Sum,
        y: &mut Buffer,
    ) -> Result<()> {
        let &CopyChannels { rows, channels, from, to } = geometry;
        with_float!("copy_channels", x, T => {
            let x = &x.slice::<T>()[..rows * from.width];
            let y = &mut y.slice_mut::<T>()[..rows * to.width];
            self.weighted_chunks(y, to.width, channels, |first, y| {
                let rows = x[first * from.width..].chunks_exact(from.width);
                for (x, y) in rows.zip(y.chunks_exact_mut(to.width)) {
                    let x = &x[from.first..][..channels];
                    let y = &mut y[to.first..][..channels];
                    match sum {
                        Sum::Store => y.copy_from_slice(x),
                        Sum::Add => accumulate(x, y),
                    }
                }
            });
        });
        Ok(())
    }
}
