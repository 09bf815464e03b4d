use super::{Buffer, Cpu};
use crate::Result;
use crate::ops::{SelectBackend, Selected, Selection};

impl SelectBackend for Cpu {
    fn select(
        &self,
        selection: &Selection<'_, Buffer>,
        selected: Selected<'_, Buffer>,
    ) -> Result<()> {
        let &Selection { order, labels, stride, count } = selection;
        let clock = &mut selected.clock.slice_mut::<u32>()[..2];
        clock.iter_mut().for_each(|number| *number = number.wrapping_add(1));
        let chosen = &order.slice::<u32>()[clock[1] as usize * stride..][..count];
        selected.indices.slice_mut::<u32>()[..count].copy_from_slice(chosen);
        let of = labels.slice::<u32>();
        for (label, &image) in selected.labels.slice_mut::<u32>().iter_mut().zip(chosen) {
            *label = of[image as usize];
        }
        Ok(())
    }
}
