use super::tiles::{PLANES, Planes};
use super::transform::{POINTS, TAPS, filter, filter_gradient};
use crate::cpu::conv2d::border::Form;
use crate::cpu::simd::{MAX_LANES, Simd};
use crate::ops::Conv2d;

/// `G w G^T` of all filters: for each point a matrix of the channels that are summed over by those
/// that result.
pub(super) struct Filters {
    /// Filters and channels.
    shape: [usize; 2],
    direction: Direction,
    form: Form,
    pub(super) planes: Planes,
    words: Vec<f32>,
}

/// Which of a filter's two channels is summed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// The input's.
    Fprop,
    /// The output's; the taps are reversed.
    Dgrad,
}

impl Filters {
    /// In words of this form, whose pairs are of what is summed over.
    pub(super) fn new(g: &Conv2d, (direction, form): (Direction, Form), lanes: usize) -> Self {
        let [rows, columns] = match direction {
            Direction::Fprop => [g.channels, g.filters],
            Direction::Dgrad => [g.filters, g.channels],
        };
        let planes = Planes::new(form.words(rows), columns, lanes);
        Filters { shape: [g.filters, g.channels], direction, form, planes, words: Vec::new() }
    }

    pub(super) fn make_room(&mut self) {
        self.words = vec![0.0; self.planes.words()];
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<f32>() * self.planes.words()
    }

    /// The matrix of a point.
    #[inline(always)]
    pub(super) fn plane(&self, point: usize) -> *const f32 {
        self.words[point * self.planes.step..].as_ptr()
    }

    /// Takes KRSC filters.
    #[inline(always)]
    pub(super) fn load<S: Simd>(&mut self, krsc: &[f32]) {
        let [filters, channels] = self.shape;
        let Planes { pitch, step } = self.planes;
        let filter_len = TAPS * TAPS * channels;
        let mut k = 0;
        while k < filters {
            let together = self.together().min(filters - k);
            let mut c = 0;
            while c < channels {
                let lanes = S::LANES.min(channels - c);
                // SAFETY: each filter's taps have `lanes` channels from `c` on; the planes have a
                // row and a column of words for every filter and channel, in whole vectors.
                unsafe {
                    let mut u = [[[S::splat(0.0); POINTS]; POINTS]; 2];
                    for (next, u) in u.iter_mut().enumerate().take(together) {
                        let w = krsc[(k + next) * filter_len + c..].as_ptr();
                        *u = transformed::<S>((w, channels), lanes, self.direction);
                    }
                    for point in 0..PLANES {
                        let plane = self.words.as_mut_ptr().add(point * step);
                        let [one, next] = [u[0].as_flattened()[point], u[1].as_flattened()[point]];
                        match (self.direction, self.form) {
                            (Direction::Dgrad, Form::Single) => {
                                S::store(plane.add(k * pitch + c), one);
                            }
                            (Direction::Dgrad, Form::Pairs) => {
                                S::store_pairs(plane.add(k / 2 * pitch + c), one, next);
                            }
                            (Direction::Fprop, _) => {
                                let mut column = [0.0f32; MAX_LANES];
                                S::store(column.as_mut_ptr(), one);
                                for (lane, value) in column.iter().enumerate().take(lanes) {
                                    *plane.add((c + lane) * pitch + k) = *value;
                                }
                            }
                        }
                    }
                }
                c += S::LANES;
            }
            k += together;
        }
    }

    /// Filters whose values share words.
    #[inline(always)]
    fn together(&self) -> usize {
        match self.direction {
            Direction::Fprop => 1,
            Direction::Dgrad => self.form.elements(),
        }
    }
}

/// `G w G^T` of a filter's `lanes` channels.
#[inline(always)]
unsafe fn transformed<S: Simd>(
    (w, channels): (*const f32, usize),
    lanes: usize,
    direction: Direction,
) -> [[S::Vector; POINTS]; POINTS] {
    // SAFETY: the caller's.
    unsafe {
        let mut vertical = [[S::splat(0.0); TAPS]; POINTS];
        for s in 0..TAPS {
            let mut taps = [S::splat(0.0); TAPS];
            for (r, tap) in taps.iter_mut().enumerate() {
                let [r, s] = match direction {
                    Direction::Fprop => [r, s],
                    Direction::Dgrad => [TAPS - 1 - r, TAPS - 1 - s],
                };
                *tap = S::load_partial(w.add((r * TAPS + s) * channels), lanes);
            }
            let points = filter::<S>(taps);
            for i in 0..POINTS {
                vertical[i][s] = points[i];
            }
        }
        let mut u = [[S::splat(0.0); POINTS]; POINTS];
        for (u, row) in u.iter_mut().zip(vertical) {
            *u = filter::<S>(row);
        }
        u
    }
}

/// Adds `G^T u G` to the gradient of KRSC filters `[filters, channels]`; `u` has a matrix of
/// filters by channels for each point.
///
/// # Safety
/// `u` holds the planes, and the processor has the instruction set.
#[inline(always)]
pub(super) unsafe fn add_gradient<S: Simd>(
    (u, planes): (*const f32, Planes),
    channels: usize,
    dw: &mut [f32],
) {
    for (k, dw) in dw.chunks_exact_mut(TAPS * TAPS * channels).enumerate() {
        let mut c = 0;
        while c < channels {
            let lanes = S::LANES.min(channels - c);
            // SAFETY: a row of each plane, in whole vectors; taps of a filter have `lanes`
            // channels from `c` on.
            unsafe {
                let u = u.add(k * planes.pitch + c);
                let mut vertical = [[S::splat(0.0); POINTS]; TAPS];
                for j in 0..POINTS {
                    let mut points = [S::splat(0.0); POINTS];
                    for (i, point) in points.iter_mut().enumerate() {
                        *point = S::load(u.add((POINTS * i + j) * planes.step));
                    }
                    let taps = filter_gradient::<S>(points);
                    for r in 0..TAPS {
                        vertical[r][j] = taps[r];
                    }
                }
                for (r, row) in vertical.iter().enumerate() {
                    for (s, value) in filter_gradient::<S>(*row).iter().enumerate() {
                        let to = dw.as_mut_ptr().add((r * TAPS + s) * channels + c);
                        let sum = S::add(S::load_partial(to, lanes), *value);
                        S::store_partial(to, sum, lanes);
                    }
                }
            }
            c += S::LANES;
        }
    }
}

const _: () = assert!(PLANES == POINTS * POINTS);
