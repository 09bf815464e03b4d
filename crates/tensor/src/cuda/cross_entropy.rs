use bytemuck::NoUninit;

use super::launch::Grid;
use super::module::kernels;
use super::rows::Teams;
use super::{Buffer, Cuda};
use crate::ops::{CrossEntropy, CrossEntropyBackend, CrossEntropyInputs, Sum};
use crate::{DType, Result};

kernels! { nasrl_kernels::CROSS_ENTROPY {
    WARP: cross_entropy_warp(read f32, read u32, write f32; Judged);
    BLOCK: cross_entropy_block(read f32, read u32, write f32; Judged);
    GRADIENT_WARP: cross_entropy_gradient_warp(read f32, read u32, write f32, write f32; Judged);
    GRADIENT_BLOCK: cross_entropy_gradient_block(read f32, read u32, write f32, write f32; Judged);
    TOTAL: cross_entropy_total(read f32, read u32, write f32; Judged);
} }

const LOSS: Teams<3, Judged> = Teams { warp: &WARP, block: &BLOCK };
const GRADIENT: Teams<4, Judged> = Teams { warp: &GRADIENT_WARP, block: &GRADIENT_BLOCK };

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Judged {
    rows: u64,
    classes: u64,
    divisor: f32,
    add: u32,
}

impl CrossEntropyBackend for Cuda {
    fn cross_entropy(
        &self,
        geometry: &CrossEntropy,
        CrossEntropyInputs { logits, labels, clock }: CrossEntropyInputs<'_, Buffer>,
        sums: &mut Buffer,
    ) -> Result<()> {
        let rows = geometry.rows;
        let mut partial = self.scratch(DType::F32, 2 * rows.count)?;
        let (kernel, grid) = LOSS.choose(rows);
        let arguments =
            [logits.read(rows.elements()), labels.read(rows.count), partial.write(2 * rows.count)];
        self.launch(kernel, grid, arguments, geometry.into())?;
        self.total(geometry, &partial, clock, sums)
    }

    fn cross_entropy_with_gradient(
        &self,
        geometry: &CrossEntropy,
        CrossEntropyInputs { logits, labels, clock }: CrossEntropyInputs<'_, Buffer>,
        sums: &mut Buffer,
        dlogits: &mut Buffer,
    ) -> Result<()> {
        let rows = geometry.rows;
        let mut partial = self.scratch(DType::F32, 2 * rows.count)?;
        let (kernel, grid) = GRADIENT.choose(rows);
        let arguments = [
            logits.read(rows.elements()),
            labels.read(rows.count),
            partial.write(2 * rows.count),
            dlogits.write(rows.elements()),
        ];
        self.launch(kernel, grid, arguments, geometry.into())?;
        self.total(geometry, &partial, clock, sums)
    }
}

impl Cuda {
    fn total(
        &self,
        geometry: &CrossEntropy,
        partial: &Buffer,
        clock: Option<&Buffer>,
        sums: &mut Buffer,
    ) -> Result<()> {
        let partial = partial.read(2 * geometry.rows.count);
        let arguments = [partial, self.clock(clock), sums.write(2)];
        self.launch(&TOTAL, Grid::blocks(1), arguments, geometry.into())
    }
}

impl From<&CrossEntropy> for Judged {
    fn from(geometry: &CrossEntropy) -> Self {
        Judged {
            rows: geometry.rows.count as u64,
            classes: geometry.rows.channels as u64,
            divisor: geometry.divisor,
            add: u32::from(geometry.sum == Sum::Add),
        }
    }
}
