use super::{Buffer, Cpu};
use crate::Result;
use crate::ops::{Embedding, EmbeddingBackend};

impl EmbeddingBackend for Cpu {
    fn embedding(
        &self,
        geometry: &Embedding,
        table: &Buffer,
        index: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        let Embedding { count, width } = *geometry;
        let (table, index) = (table.slice::<f32>(), &index.slice::<u32>()[..count]);
        self.chunks(&mut y.slice_mut::<f32>()[..count * width], width, |first, y| {
            for (y, index) in y.chunks_exact_mut(width).zip(&index[first..]) {
                y.copy_from_slice(&table[*index as usize * width..][..width]);
            }
        });
        Ok(())
    }

    fn embedding_backward(
        &self,
        geometry: &Embedding,
        index: &Buffer,
        dy: &Buffer,
        dtable: &mut Buffer,
    ) -> Result<()> {
        // In the calling thread, which keeps the order of an index's gradients.
        let Embedding { count, width } = *geometry;
        let (index, dy) = (&index.slice::<u32>()[..count], dy.slice::<f32>());
        let dtable = dtable.slice_mut::<f32>();
        for (index, dy) in index.iter().zip(dy.chunks_exact(width)) {
            let row = &mut dtable[*index as usize * width..][..width];
            for (row, dy) in row.iter_mut().zip(dy) {
                *row += dy;
            }
        }
        Ok(())
    }
}
