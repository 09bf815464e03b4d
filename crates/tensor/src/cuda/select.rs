use bytemuck::NoUninit;

use super::launch::Grid;
use super::module::kernels;
use super::{Buffer, Cuda};
use crate::Result;
use crate::ops::{SelectBackend, Selected, Selection};

kernels! { nasrl_kernels::SELECT {
    SELECT: select_batch(read u32, read u32, write u32, write u32, write u32; Batch);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Batch {
    stride: u64,
    count: u64,
}

impl SelectBackend for Cuda {
    fn select(
        &self,
        selection: &Selection<'_, Buffer>,
        selected: Selected<'_, Buffer>,
    ) -> Result<()> {
        let &Selection { order, labels, stride, count } = selection;
        let arguments = [
            order.read(count),
            labels.read(0),
            selected.clock.write(2),
            selected.indices.write(count),
            selected.labels.write(count),
        ];
        let geometry = Batch { stride: stride as u64, count: count as u64 };
        self.launch(&SELECT, Grid::blocks(1), arguments, geometry)
    }
}
