use super::Footprint;
use super::border::{Bordered, Form, Read};
use crate::cpu::scratch::Scratch;
use crate::cpu::simd::{Arithmetic, Simd};
use crate::ops::Conv2d;
use crate::{DType, Float};

/// Convolution of each channel with a filter of its own: vectors of channels, bound by loads.
pub(super) struct Depthwise {
    geometry: Conv2d,
    x: Bordered,
    /// Filters as `[r, s, c]`, so that a vector of channels is contiguous.
    filters: Vec<f32>,
    /// Where the window of each output pixel starts in the bordered image.
    windows: Vec<u32>,
    /// Where each tap lies in a window.
    taps: Vec<u32>,
    /// For each row of the input, and for each column, the windows that it is in.
    seen: [Vec<Vec<Seen>>; 2],
}

/// A row of windows that a row of the input is in, and the row of the filter that it meets there;
/// the same of columns.
#[derive(Clone, Copy)]
struct Seen {
    tap: usize,
    window: usize,
}

/// Sums of a gradient that are made at once: as many additions as one takes cycles, and a few more.
const SUMS: usize = 5;

impl Depthwise {
    pub(super) fn new(g: &Conv2d, dtype: DType) -> Self {
        let image = [g.input[0], g.input[1], g.channels];
        let x = Bordered::new(image, g.padding, (dtype, Form::Single), Read::Within);
        let [p, q] = g.output();
        let places = |[rows, columns]: [usize; 2], [down, right]: [usize; 2]| {
            let pixels = (0..rows).flat_map(|row| (0..columns).map(move |column| [row, column]));
            let place = |[row, column]: [usize; 2]| {
                (row * down * x.pitch + column * right * g.channels) as u32
            };
            pixels.map(place).collect()
        };
        let seen = |axis| (0..g.input[axis]).map(|at| Seen::of(g, axis, at)).collect();
        Depthwise {
            geometry: *g,
            filters: Vec::new(),
            windows: places([p, q], g.stride),
            taps: places(g.kernel, g.dilation),
            seen: [seen(0), seen(1)],
            x,
        }
    }

    /// Allocates what [`Depthwise::load`] fills.
    pub(super) fn make_room(&mut self) {
        self.filters = vec![0.0; self.geometry.filter_shape().count()];
    }

    /// Bytes that the three passes hold, and of scratch that one takes.
    pub(super) fn footprint(&self) -> Footprint {
        let filters = size_of::<f32>() * self.geometry.filter_shape().count();
        let tables = size_of_val(&self.windows[..]) + size_of_val(&self.taps[..]);
        let seen =
            self.seen.iter().flatten().map(|seen| size_of_val(&seen[..]) + size_of_val(seen));
        Footprint { plan: filters + tables + seen.sum::<usize>(), scratch: self.x.scratch() }
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
        for (window, y) in self.windows.iter().zip(y.chunks_exact_mut(c)) {
            for (channel, lanes) in vectors::<M>(c) {
                // SAFETY: a window's taps lie in the bordered image, and `lanes` channels from
                // `channel` on are in every row of filters, bias and output.
                unsafe {
                    let mut sum = match bias {
                        Some(bias) => M::S::load_partial(bias.as_ptr().add(channel), lanes),
                        None => M::S::splat(0.0),
                    };
                    for (tap, w) in self.taps.iter().zip(self.filters.chunks_exact(c)) {
                        let x = x.add((window + tap) as usize + channel);
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
        let Conv2d { channels: c, kernel, .. } = self.geometry;
        let q = self.geometry.output()[1];
        let (dys, filters) = (dy.as_ptr(), self.filters.as_ptr());
        let pixels = self.seen[0]
            .iter()
            .flat_map(|row| self.seen[1].iter().map(move |column| (row, column)));
        for (pixel, ((rows, columns), dx)) in pixels.zip(dx.chunks_exact_mut(c)).enumerate() {
            for (channel, lanes) in vectors::<M>(c) {
                // SAFETY: what is seen are pixels of the map and taps of the filter, and `lanes`
                // channels from `channel` on are in each of them.
                unsafe {
                    let mut sum = M::S::splat(0.0);
                    for row in rows {
                        for column in columns {
                            let dy = (row.window * q + column.window) * c + channel;
                            let w = (row.tap * kernel[1] + column.tap) * c + channel;
                            let dy = M::S::load_as(dys.add(dy), lanes);
                            let w = M::S::load_partial(filters.add(w), lanes);
                            sum = M::S::fma(dy, w, sum);
                        }
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
        let taps = self.taps.len();
        let x: *const f32 = self.x.place(x, scratch).cast();
        for first in (0..taps).step_by(SUMS) {
            // Sums past the last tap are made of copies of it and dropped.
            let offsets: [usize; SUMS] =
                std::array::from_fn(|sum| self.taps[(first + sum).min(taps - 1)] as usize);
            for (channel, lanes) in vectors::<M>(c) {
                let mut values = [[0.0f32; crate::cpu::simd::MAX_LANES]; SUMS];
                // SAFETY: as in `fprop`; `values` holds the widest vectors.
                unsafe {
                    let mut sums = [M::S::splat(0.0); SUMS];
                    for (window, dy) in self.windows.iter().zip(dy.chunks_exact(c)) {
                        let x = x.add(*window as usize + channel);
                        let dy = M::S::load_as(dy.as_ptr().add(channel), lanes);
                        for (sum, offset) in sums.iter_mut().zip(offsets) {
                            *sum = M::S::fma(M::S::load_partial(x.add(offset), lanes), dy, *sum);
                        }
                    }
                    for (values, sum) in values.iter_mut().zip(sums) {
                        M::S::store(values.as_mut_ptr(), sum);
                    }
                }
                for (tap, values) in (first..taps).zip(&values) {
                    for (lane, value) in values.iter().enumerate().take(lanes) {
                        dw[(channel + lane) * taps + tap] += value;
                    }
                }
            }
        }
    }
}

impl Seen {
    /// What a row or column of the input is seen by, in the order of the taps.
    fn of(g: &Conv2d, axis: usize, at: usize) -> Vec<Self> {
        let before = [g.padding.top, g.padding.left][axis];
        let seen = |tap: usize| {
            let distance = (at + before).checked_sub(tap * g.dilation[axis])?;
            let window = distance / g.stride[axis];
            let starts = distance.is_multiple_of(g.stride[axis]) && window < g.output()[axis];
            starts.then_some(Seen { tap, window })
        };
        (0..g.kernel[axis]).filter_map(seen).collect()
    }
}

/// The first channel and the number of lanes of each vector of channels.
#[inline(always)]
fn vectors<M: Arithmetic>(channels: usize) -> impl Iterator<Item = (usize, usize)> {
    let lanes = M::S::LANES;
    (0..channels).step_by(lanes).map(move |first| (first, lanes.min(channels - first)))
}
