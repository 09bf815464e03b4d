use bytemuck::NoUninit;

use super::launch::Grid;
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{Embedding, EmbeddingBackend};

kernels! { nasrl_kernels::EMBEDDING {
    FORWARD: embedding(read f32, read u32, write f32; Lookup);
    BACKWARD: embedding_backward(read u32, read f32, write f32; Lookup);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Lookup {
    count: u64,
    width: u64,
    rows: u64,
}

impl EmbeddingBackend for Cuda {
    fn embedding(
        &self,
        geometry: &Embedding,
        table: &Buffer,
        index: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        let len = geometry.count * geometry.width;
        let lookup = Lookup::new(geometry, table);
        let arguments = [table.read(table.capacity()), index.read(geometry.count), y.write(len)];
        self.launch(&FORWARD, Grid::over(len, 256), arguments, lookup)
    }

    fn embedding_backward(
        &self,
        geometry: &Embedding,
        index: &Buffer,
        dy: &Buffer,
        dtable: &mut Buffer,
    ) -> Result<()> {
        let (len, all) = (geometry.count * geometry.width, dtable.capacity());
        let lookup = Lookup::new(geometry, dtable);
        let blocks = [lookup.rows.div_ceil(8), lookup.width.div_ceil(128), 1];
        let grid = Grid { blocks: blocks.map(|blocks| blocks as usize), threads: 256, shared: 0 };
        let arguments = [index.read(geometry.count), dy.read(len), dtable.write(all)];
        self.launch(&BACKWARD, grid, arguments, lookup)
    }
}

impl Lookup {
    /// The geometry does not say how many rows the table has: all of it is the kernels'.
    fn new(geometry: &Embedding, table: &Buffer) -> Self {
        let Embedding { count, width } = *geometry;
        let rows = table.capacity() / width;
        Lookup { count: count as u64, width: width as u64, rows: rows as u64 }
    }
}
