use half::bf16;

use crate::cpu::simd::{Arithmetic, Simd};

/// How transformed values become the words that are multiplied.
pub(super) trait Words {
    /// Neighbouring tiles of a word.
    const TILES: usize;
    /// Neighbouring channels of a word.
    const CHANNELS: usize;

    /// Stores a vector of channels of a tile, and of the next one where words hold two.
    ///
    /// # Safety
    /// There is room for the words, and the processor has the instruction set.
    unsafe fn store<M: Arithmetic>(
        to: *mut f32,
        tile: <M::S as Simd>::Vector,
        next: <M::S as Simd>::Vector,
    );
}

/// An `f32`.
pub(super) struct Singles;

/// Two channels in bf16.
pub(super) struct ChannelPairs;

/// A channel of two tiles in bf16.
pub(super) struct TilePairs;

impl Words for Singles {
    const TILES: usize = 1;
    const CHANNELS: usize = 1;

    #[inline(always)]
    unsafe fn store<M: Arithmetic>(
        to: *mut f32,
        tile: <M::S as Simd>::Vector,
        _: <M::S as Simd>::Vector,
    ) {
        // SAFETY: the caller's.
        unsafe { M::S::store(to, tile) }
    }
}

impl Words for ChannelPairs {
    const TILES: usize = 1;
    const CHANNELS: usize = 2;

    #[inline(always)]
    unsafe fn store<M: Arithmetic>(
        to: *mut f32,
        tile: <M::S as Simd>::Vector,
        _: <M::S as Simd>::Vector,
    ) {
        // SAFETY: the caller's.
        unsafe { M::S::store_as(to.cast::<bf16>(), tile, M::S::LANES) }
    }
}

impl Words for TilePairs {
    const TILES: usize = 2;
    const CHANNELS: usize = 1;

    #[inline(always)]
    unsafe fn store<M: Arithmetic>(
        to: *mut f32,
        tile: <M::S as Simd>::Vector,
        next: <M::S as Simd>::Vector,
    ) {
        // SAFETY: the caller's.
        unsafe { M::S::store_pairs(to, tile, next) }
    }
}
