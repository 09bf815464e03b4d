use super::Footprint;
use super::border::{Bordered, Form, Read};
use crate::cpu::scratch::Scratch;
use crate::cpu::simd::{Arithmetic, Simd};
use crate::ops::{Conv2d, Padding};
use crate::{DType, Float};

/// Convolution of each channel with a filter of its own: vectors of channels, bound by memory.
pub(super) struct Depthwise {
    geometry: Conv2d,
    x: Bordered,
    /// Filters as `[r, s, c]`, so that a vector of channels is contiguous.
    filters: Vec<f32>,
}

impl Depthwise {
    pub(super) fn new(g: &Conv2d, dtype: DType) -> Self {
        let image = [g.input[0], g.input[1], g.channels];
        let x = Bordered::new(image, g.padding, (dtype, Form::Single), Read::Within);
        Depthwise { geometry: *g, x, filters: Vec::new() }
    }

    /// Allocates what [`Depthwise::load`] fills.
    pub(super) fn make_room(&mut self) {
        self.filters = vec![0.0; self.geometry.filter_shape().count()];
    }

    /// Bytes that the three passes hold, and of scratch that one takes.
    pub(super) fn footprint(&self) -> Footprint {
        let plan = size_of::<f32>() * self.geometry.filter_shape().count();
        Footprint { plan, scratch: self.x.scratch() }
    }

    /// Takes the filters' values, rounded to the plan's dtype.
    pub(super) fn load<T: Float>(&mut self, filters: &[f32]) {
        let c = self.geometry.channels;
        let taps = self.filters.len() / c;
        for (tap, row) in self.filters.chunks_exact_mut(c).enumerate() {
            for (channel, value) in row.iter_mut().enumerate() {
                *value = T::from_f32(filters[channel * taps + tap]).to_f32();
            }
        }
    }

    /// One image forward.
    #[inline(always)]
    pub(super) fn fprop<M: Arithmetic, T: Float>(
        &self,
        x: &[T],
        (bias, relu): (Option<&[f32]>, bool),
        y: &mut [T],
        scratch: &mut Scratch,
    ) {
        let c = self.geometry.channels;
        let x: *const f32 = self.x.place(x, scratch).cast();
        for (pixel, y) in y.chunks_exact_mut(c).enumerate() {
            for (channel, lanes) in vectors::<M>(c) {
                // SAFETY: `window` lies in the bordered image, and `lanes` channels from
                // `channel` on are in every row of filters, bias and output.
                unsafe {
                    let mut sum = match bias {
                        Some(bias) => M::S::load_partial(bias.as_ptr().add(channel), lanes),
                        None => M::S::splat(0.0),
                    };
                    for (tap, w) in self.filters.chunks_exact(c).enumerate() {
                        let x = x.add(self.window(pixel, tap) + channel);
                        let w = M::S::load_partial(w.as_ptr().add(channel), lanes);
                        sum = M::S::fma(M::S::load_partial(x, lanes), w, sum);
                    }
                    let sum = if relu { M::S::relu(sum) } else { sum };
                    M::S::store_as(y.as_mut_ptr().add(channel), sum, lanes);
                }
            }
        }
    }

    /// One image's input gradient: every input pixel gathers from the windows that it is in.
    #[inline(always)]
    pub(super) fn dgrad<M: Arithmetic, T: Float>(
        &self,
        dy: &[T],
        mask: Option<&[T]>,
        dx: &mut [T],
    ) {
        let g = &self.geometry;
        let (c, [_, q]) = (g.channels, g.output());
        let Padding { top, left, .. } = g.padding;
        for (pixel, dx) in dx.chunks_exact_mut(c).enumerate() {
            let (row, column) = (pixel / g.input[1] + top, pixel % g.input[1] + left);
            for (channel, lanes) in vectors::<M>(c) {
                // SAFETY: `window_of` answers with pixels of the map only, and `lanes` channels
                // from `channel` on are in every pixel and row of filters.
                unsafe {
                    let mut sum = M::S::splat(0.0);
                    for (tap, w) in self.filters.chunks_exact(c).enumerate() {
                        let (r, s) = (tap / g.kernel[1], tap % g.kernel[1]);
                        let (Some(p), Some(j)) =
                            (self.window_of(0, row, r), { self.window_of(1, column, s) })
                        else {
                            continue;
                        };
                        let dy = dy.as_ptr().add((p * q + j) * c + channel);
                        let w = M::S::load_partial(w.as_ptr().add(channel), lanes);
                        sum = M::S::fma(M::S::load_as(dy, lanes), w, sum);
                    }
                    if let Some(mask) = mask {
                        let mask = mask.as_ptr().add(pixel * c + channel);
                        sum = M::S::where_positive(M::S::load_as(mask, lanes), sum);
                    }
                    M::S::store_as(dx.as_mut_ptr().add(channel), sum, lanes);
                }
            }
        }
    }

    /// Adds one image's gradient to `dw`.
    #[inline(always)]
    pub(super) fn wgrad<M: Arithmetic, T: Float>(
        &self,
        x: &[T],
        dy: &[T],
        dw: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let c = self.geometry.channels;
        let taps = self.filters.len() / c;
        let x: *const f32 = self.x.place(x, scratch).cast();
        for tap in 0..taps {
            for (channel, lanes) in vectors::<M>(c) {
                let mut sums = [0.0f32; crate::cpu::simd::MAX_LANES];
                // SAFETY: as in `fprop`; `sums` holds the widest vector.
                unsafe {
                    let mut sum = M::S::splat(0.0);
                    for (pixel, dy) in dy.chunks_exact(c).enumerate() {
                        let x = x.add(self.window(pixel, tap) + channel);
                        let dy = M::S::load_as(dy.as_ptr().add(channel), lanes);
                        sum = M::S::fma(M::S::load_partial(x, lanes), dy, sum);
                    }
                    M::S::store(sums.as_mut_ptr(), sum);
                }
                for (lane, sum) in sums.iter().enumerate().take(lanes) {
                    dw[(channel + lane) * taps + tap] += sum;
                }
            }
        }
    }

    /// Where in the bordered image the tap of an output pixel's window is.
    #[inline(always)]
    fn window(&self, pixel: usize, tap: usize) -> usize {
        let g = &self.geometry;
        let columns = self.geometry.output()[1];
        let (p, q) = (pixel / columns, pixel % columns);
        let (r, s) = (tap / g.kernel[1], tap % g.kernel[1]);
        let row = p * g.stride[0] + r * g.dilation[0];
        let column = q * g.stride[1] + s * g.dilation[1];
        row * self.x.pitch + column * g.channels
    }

    /// The output row or column whose window has its given tap at a padded input position.
    #[inline(always)]
    fn window_of(&self, axis: usize, position: usize, tap: usize) -> Option<usize> {
        let g = &self.geometry;
        let distance = position.checked_sub(tap * g.dilation[axis])?;
        let window = distance / g.stride[axis];
        (distance.is_multiple_of(g.stride[axis]) && window < g.output()[axis]).then_some(window)
    }
}

/// The first channel and the number of lanes of each vector of channels.
#[inline(always)]
fn vectors<M: Arithmetic>(channels: usize) -> impl Iterator<Item = (usize, usize)> {
    let lanes = M::S::LANES;
    (0..channels).step_by(lanes).map(move |first| (first, lanes.min(channels - first)))
}
