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
}

impl EmbeddingBackend for Cuda {
    // The geometry does not say how many rows the table has: all of it is the kernels'.
    fn embedding(
        &self,
        geometry: &Embedding,
        table: &Buffer,
        index: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        let len = geometry.count * geometry.width;
        let arguments = [table.read(table.capacity()), index.read(geometry.count), y.write(len)];
        self.launch(&FORWARD, Grid::over(len, 256), arguments, geometry.into())
    }

    fn embedding_backward(
        &self,
        geometry: &Embedding,
        index: &Buffer,
        dy: &Buffer,
        dtable: &mut Buffer,
    ) -> Result<()> {
        let (len, all) = (geometry.count * geometry.width, dtable.capacity());
        let arguments = [index.read(geometry.count), dy.read(len), dtable.write(all)];
        self.launch(&BACKWARD, Grid::blocks(geometry.count), arguments, geometry.into())
    }
}

impl From<&Embedding> for Lookup {
    fn from(geometry: &Embedding) -> Self {
        Lookup { count: geometry.count as u64, width: geometry.width as u64 }
    }
}
