//! What named barriers order: a vector clock a warp.

/// For every warp of a block, up to when it knows of each other warp's accesses.
#[derive(Debug, Default)]
pub(crate) struct WarpOrder {
    /// Accesses of the block so far.
    time: u32,
    known: [[u32; 32]; 32],
}

impl WarpOrder {
    /// Starts a block.
    pub(crate) fn begin_block(&mut self) {
        *self = Self::default();
    }

    /// The time of the next access.
    pub(crate) fn tick(&mut self) -> u32 {
        self.time += 1;
        self.time
    }

    /// Up to when a warp knows of each warp's accesses.
    pub(crate) fn known(&self, warp: usize) -> &[u32; 32] {
        &self.known[warp]
    }

    /// These warps met at a barrier: each knows what any of them did and knew.
    pub(crate) fn meet(&mut self, warps: u32) {
        let here = || (0..32).filter(move |warp| warps >> warp & 1 == 1);
        let mut all = [0; 32];
        for warp in here() {
            for (all, known) in all.iter_mut().zip(&self.known[warp]) {
                *all = (*all).max(*known);
            }
        }
        here().for_each(|warp| all[warp] = self.time);
        here().for_each(|warp| self.known[warp] = all);
    }
}

#[cfg(test)]
mod tests {
    use super::WarpOrder;

    #[test]
    fn knowledge_is_handed_on() {
        let mut order = WarpOrder::default();
        let first = order.tick();
        order.meet(0b011);
        let second = order.tick();
        order.meet(0b110);
        assert!(order.known(2)[0] >= first, "from warp 0 by way of warp 1");
        assert!(order.known(2)[0] < second, "warp 0 was not there the second time");
        assert!(order.known(0)[2] < first);
    }
}
