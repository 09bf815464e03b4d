use super::filters::add_gradient;
use super::tiles::{PLANES, Planes, Tiles};
use super::transform::TILE;
use super::words::{Singles, TilePairs, Words};
use crate::cpu::conv2d::Footprint;
use crate::cpu::conv2d::border::{Bordered, Form, Read};
use crate::cpu::conv2d::output::Plane;
use crate::cpu::kernel::{Product, Run, WORD};
use crate::cpu::scratch::{Demand, Scratch, Slot};
use crate::cpu::simd::Arithmetic;
use crate::ops::{Conv2d, Sum};
use crate::{DType, Float};

/// The gradient of the filters: the sum runs over tiles, rows are filters, columns channels.
pub(super) struct Wgrad {
    x: Bordered,
    dy: Bordered,
    /// Elements of an image and of a map.
    lens: [usize; 2],
    channels: usize,
    filters: usize,
    tiles: Tiles,
    inputs: Planes,
    gradients: Planes,
    sums: Planes,
    rows: Vec<u32>,
    form: Form,
}

/// Tiles of a band: the more, the seldomer the sums are read and written.
const BAND: usize = 48;

impl Wgrad {
    pub(super) fn new(g: &Conv2d, (dtype, form): (DType, Form), lanes: usize) -> Self {
        let Conv2d { channels, filters, .. } = *g;
        let tiles = Tiles::new(g.output(), BAND);
        let of = (dtype, Form::Single);
        let rows = tiles.in_band() / tiles.columns * form.words(tiles.columns);
        let image = [g.input[0], g.input[1], channels];
        let map = [g.output()[0], g.output()[1], filters];
        let dy = Bordered::new(map, tiles.beyond(), of, Read::of(filters, lanes));
        Wgrad {
            x: Bordered::new(image, tiles.around(g.padding), of, Read::of(channels, lanes)),
            dy: dy.in_slot(Slot::Map),
            lens: [image, map].map(|shape| shape.iter().product()),
            channels,
            filters,
            tiles,
            inputs: Planes::new(rows, channels, lanes),
            gradients: Planes::new(rows, filters, lanes),
            sums: Planes::new(filters, channels, lanes),
            form,
            rows: (0..filters).map(|filter| (WORD * filter) as u32).collect(),
        }
    }

    pub(super) fn footprint(&self) -> Footprint {
        let planes = [self.inputs, self.gradients, self.sums].map(Planes::words);
        let planes = Demand::of(Slot::Planes, planes.iter().sum());
        Footprint {
            plan: size_of_val(&self.rows[..]),
            scratch: self.x.scratch().and(self.dy.scratch()).and(planes),
        }
    }

    /// Adds to `dw` over all images of `x` and `dy`.
    #[inline(always)]
    pub(super) fn images<M: Arithmetic, T: Float>(
        &self,
        x: &[T],
        dy: &[T],
        dw: &mut [f32],
        scratch: &mut Scratch,
    ) {
        match self.form {
            Form::Single => self.multiply::<M, M::Single, Singles, T>(x, dy, dw, scratch),
            Form::Pairs => self.multiply::<M, M, TilePairs, T>(x, dy, dw, scratch),
        }
    }

    /// [`Wgrad::images`] with products by `P`.
    #[inline(always)]
    fn multiply<M: Arithmetic, P: Arithmetic, W: Words, T: Float>(
        &self,
        x: &[T],
        dy: &[T],
        dw: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let Wgrad { tiles, inputs, gradients, sums, channels, filters, .. } = self;
        let [image_len, map_len] = self.lens;
        let lens = [inputs, gradients, sums].map(|planes| planes.words());
        let planes = scratch.words(Slot::Planes, lens.iter().sum());
        let (v, rest) = planes.split_at_mut(lens[0]);
        let (d, u) = rest.split_at_mut(lens[1]);
        let [v, d, u] = [v, d, u].map(|words| words.as_mut_ptr().cast::<f32>());
        let (mut image, mut map) = (std::ptr::null::<f32>(), std::ptr::null::<f32>());
        let mut placed = usize::MAX;
        for (first, count) in tiles.bands(x.len() / image_len) {
            for index in 0..count {
                let row = first + index;
                let (number, row) = (row / tiles.rows, row % tiles.rows);
                if number != placed {
                    let x = &x[number * image_len..][..image_len];
                    let dy = &dy[number * map_len..][..map_len];
                    image = self.x.place(x, scratch).cast();
                    map = self.dy.place(dy, scratch).cast();
                    placed = number;
                }
                let words = index * self.form.words(tiles.columns);
                // SAFETY: image and map have the zeros that their tiles reach over; the planes
                // have a row for each tile of a band; the task runs on the plan's engine.
                unsafe {
                    let from = (image.add(TILE * row * self.x.pitch), self.x.pitch);
                    let to = (v.add(words * inputs.pitch), *inputs);
                    tiles.input_row::<M, W>(from, *channels, to);
                    let from = (map.add(TILE * row * self.dy.pitch), self.dy.pitch);
                    let to = (d.add(words * gradients.pitch), *gradients);
                    tiles.gradient_row::<M, W>(from, *filters, to);
                }
            }
            let sum = if first == 0 { Sum::Store } else { Sum::Add };
            for point in 0..PLANES {
                // SAFETY: rows of the planes that were just written, of whole vectors; the sums
                // have a row for each filter.
                unsafe {
                    let product = Product {
                        a: d.add(point * gradients.step).cast(),
                        rows: &self.rows,
                        a_step: WORD * gradients.pitch,
                        b: v.add(point * inputs.step),
                        b_pitch: inputs.pitch,
                        runs: &[Run {
                            a: 0,
                            b: 0,
                            len: (count * self.form.words(tiles.columns)) as u32,
                        }],
                        n: *channels,
                    };
                    let c = u.add(point * sums.step);
                    P::multiply(&product, &Plane { c, pitch: sums.pitch, sum });
                }
            }
        }
        // SAFETY: the planes hold the sums of all filters and channels.
        unsafe { add_gradient::<M::S>((u, *sums), *channels, dw) }
    }
}
