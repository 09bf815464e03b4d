//! Convolution with 3x3 filters of stride 1 by 36 products of matrices for each 4x4 pixels of a
//! map, in place of 144: Winograd's F(4x4, 3x3).
//!
//! ```text
//! fprop  y  = A^T (sum_c  U  * V) A    V = B^T d B of the image   U = G w G^T
//! dgrad  dx = A^T (sum_k  U' * V') A   V' of dy                   U' of the reversed filters
//! wgrad  dw = G^T (sum_tiles D * V) G  D = A dy A^T
//! ```
//!
//! Sums are f32, and so are the transformed operands; in the gradients of bf16 activations the
//! latter are bf16 where the processor multiplies pairs of it. Transformed values of one sign grow
//! by up to 100 and cancel again, so that a forward pass in bf16 would double the error of the
//! gradients; that of backward passes is no larger than with plain sums.
//!
//! Lavin and Gray 2016, arXiv 1509.09308.

#![allow(clippy::needless_range_loop, reason = "matrices are read by rows and written by columns")]

mod filters;
mod gather;
mod tiles;
mod transform;
mod wgrad;
mod words;

use super::border::Form;
use super::output::{Gradient, Map};
use crate::cpu::conv2d::Footprint;
use crate::cpu::scratch::Scratch;
use crate::cpu::simd::{Arithmetic, Engine};
use crate::ops::{Connection, Conv2d};
use crate::{DType, Float};
use filters::Direction;
use gather::{Gather, Maps};
use wgrad::Wgrad;

/// The three passes.
pub(super) struct Winograd {
    fprop: Gather,
    dgrad: Gather,
    wgrad: Wgrad,
    /// The filters in the plan's dtype, where that is not f32.
    rounded: Vec<f32>,
    filters: usize,
}

/// Fewest channels on either side for which the products are worth their transforms, with words of
/// one value and of two, whose plain products are faster.
const FEWEST_CHANNELS: [usize; 2] = [16, 32];

impl Winograd {
    /// None where direct products are faster or the geometry is another.
    pub(super) fn new(g: &Conv2d, engine: Engine, dtype: DType) -> Option<Self> {
        let (padding, form) = (g.padding, Form::of(engine));
        let sides = [padding.top, padding.bottom, padding.left, padding.right];
        let fits = g.connection == Connection::Full
            && g.kernel == [3, 3]
            && g.stride == [1, 1]
            && g.dilation == [1, 1]
            && sides.iter().all(|&side| side <= 2);
        let worth = g.channels.min(g.filters) >= FEWEST_CHANNELS[form.elements() - 1]
            && is_worth_it(g.output())
            && is_worth_it(g.input);
        (fits && worth).then(|| Winograd {
            fprop: Gather::new(g, Direction::Fprop, (dtype, Form::Single), engine.lanes()),
            dgrad: Gather::new(g, Direction::Dgrad, (dtype, form), engine.lanes()),
            wgrad: Wgrad::new(g, (dtype, form), engine.lanes()),
            rounded: Vec::new(),
            filters: if dtype == DType::F32 { 0 } else { g.filter_shape().count() },
        })
    }

    pub(super) fn make_room(&mut self) {
        self.fprop.filters.make_room();
        self.dgrad.filters.make_room();
        self.rounded = vec![0.0; self.filters];
    }

    /// That of each pass.
    pub(super) fn footprints(&self) -> [Footprint; 3] {
        let mut fprop = self.fprop.footprint();
        fprop.plan += size_of::<f32>() * self.filters;
        [fprop, self.dgrad.footprint(), self.wgrad.footprint()]
    }

    #[inline(always)]
    pub(super) fn load<M: Arithmetic, T: Float>(&mut self, filters: &[f32]) {
        let rounded = if T::DTYPE == DType::F32 {
            filters
        } else {
            for (rounded, filter) in self.rounded.iter_mut().zip(filters) {
                *rounded = T::from_f32(*filter).to_f32();
            }
            &self.rounded[..]
        };
        self.fprop.filters.load::<M::S>(rounded);
        self.dgrad.filters.load::<M::S>(rounded);
    }

    /// The forward pass of some images.
    #[inline(always)]
    pub(super) fn fprop<M: Arithmetic, T: Float>(
        &self,
        x: &[T],
        (bias, relu): (Option<&[f32]>, bool),
        y: &mut [T],
        scratch: &mut Scratch,
    ) {
        let bias = bias.map(<[f32]>::as_ptr);
        let maps = Forward { y: y.as_mut_ptr(), gather: &self.fprop, bias, relu };
        self.fprop.images::<M, T, _>(x, &maps, scratch);
    }

    /// The gradient of some images, where `mask` is positive.
    #[inline(always)]
    pub(super) fn dgrad<M: Arithmetic, T: Float>(
        &self,
        dy: &[T],
        mask: Option<&[T]>,
        dx: &mut [T],
        scratch: &mut Scratch,
    ) {
        let mask = mask.map(<[T]>::as_ptr);
        let maps = Backward { dx: dx.as_mut_ptr(), gather: &self.dgrad, mask };
        self.dgrad.images::<M, T, _>(dy, &maps, scratch);
    }

    /// Adds the gradient of the filters over some images.
    #[inline(always)]
    pub(super) fn wgrad<M: Arithmetic, T: Float>(
        &self,
        x: &[T],
        dy: &[T],
        dw: &mut [f32],
        scratch: &mut Scratch,
    ) {
        self.wgrad.images::<M, T>(x, dy, dw, scratch);
    }
}

/// Whether the products of a map's tiles are few enough: with tiles that mostly reach past its end
/// they are not.
fn is_worth_it([height, width]: [usize; 2]) -> bool {
    let tiles = height.div_ceil(transform::TILE) * width.div_ceil(transform::TILE);
    3 * tiles * tiles::PLANES <= 2 * height * width * transform::TAPS * transform::TAPS
}

struct Forward<'a, T> {
    y: *mut T,
    gather: &'a Gather,
    bias: Option<*const f32>,
    relu: bool,
}

struct Backward<'a, T> {
    dx: *mut T,
    gather: &'a Gather,
    mask: Option<*const T>,
}

impl<'a, T: Float> Maps for Forward<'a, T> {
    type Output = Map<'a, T>;

    #[inline(always)]
    unsafe fn of(&self, image: usize) -> Map<'a, T> {
        // SAFETY: the caller's: the image is one of the output's.
        let y = unsafe { self.y.add(image * self.gather.map_len()) };
        Map { y, places: &self.gather.places, bias: self.bias, relu: self.relu }
    }
}

impl<'a, T: Float> Maps for Backward<'a, T> {
    type Output = Gradient<'a, T>;

    #[inline(always)]
    unsafe fn of(&self, image: usize) -> Gradient<'a, T> {
        let offset = image * self.gather.map_len();
        // SAFETY: the caller's: the image is one of the output's, and the mask is as large.
        unsafe {
            let mask = self.mask.map(|mask| mask.add(offset));
            Gradient { dx: self.dx.add(offset), places: &self.gather.places, mask }
        }
    }
}
