use super::filters::{Direction, Filters};
use super::tiles::{PLANES, Planes, Tiles};
use super::transform::{TAPS, TILE};
use super::words::{ChannelPairs, Singles, Words};
use crate::cpu::conv2d::Footprint;
use crate::cpu::conv2d::border::{Bordered, Form, Read};
use crate::cpu::conv2d::output::Plane;
use crate::cpu::kernel::{Output, Product, Run, WORD};
use crate::cpu::scratch::{Demand, Scratch, Slot};
use crate::cpu::simd::Arithmetic;
use crate::ops::{Conv2d, Padding, Sum};
use crate::{DType, Float};

/// A pass whose results are the pixels of a map.
pub(super) struct Gather {
    x: Bordered,
    image_len: usize,
    channels: usize,
    tiles: Tiles,
    /// The tiles' transformed inputs and their products.
    inputs: Planes,
    products: Planes,
    /// Where each tile's input starts in a plane, in bytes.
    rows: Vec<u32>,
    /// Where each pixel of a map is, in elements.
    pub(super) places: Vec<u32>,
    columns: usize,
    form: Form,
    pub(super) filters: Filters,
}

/// Where the results of each image go.
pub(super) trait Maps {
    type Output: Output;

    /// # Safety
    /// There is such an image.
    unsafe fn of(&self, image: usize) -> Self::Output;
}

/// Tiles of a band: whole register tiles of any width, and matrices that stay in a cache.
const BAND: usize = 24;

impl Gather {
    /// A pass of products of words of this form.
    pub(super) fn new(
        g: &Conv2d,
        direction: Direction,
        (dtype, form): (DType, Form),
        lanes: usize,
    ) -> Self {
        let (input, channels, output, columns, padding) = match direction {
            Direction::Fprop => (g.input, g.channels, g.output(), g.filters, g.padding),
            Direction::Dgrad => (g.output(), g.filters, g.input, g.channels, reversed(g.padding)),
        };
        let tiles = Tiles::new(output, BAND);
        let image = [input[0], input[1], channels];
        let read = Read::of(channels, lanes);
        let x = Bordered::new(image, tiles.around(padding), (dtype, Form::Single), read);
        let inputs = Planes::new(tiles.in_band(), form.words(channels), lanes);
        let products = Planes::new(tiles.in_band(), columns, lanes);
        Gather {
            x,
            image_len: image.iter().product(),
            channels,
            tiles,
            inputs,
            products,
            rows: (0..tiles.in_band()).map(|tile| (WORD * tile * inputs.pitch) as u32).collect(),
            places: (0..output[0] * output[1]).map(|pixel| (pixel * columns) as u32).collect(),
            columns,
            form,
            filters: Filters::new(g, (direction, form), lanes),
        }
    }

    /// Elements of a map.
    #[inline(always)]
    pub(super) fn map_len(&self) -> usize {
        self.places.len() * self.columns
    }

    pub(super) fn footprint(&self) -> Footprint {
        let tables = size_of_val(&self.rows[..]) + size_of_val(&self.places[..]);
        let planes = Demand::of(Slot::Planes, self.inputs.words() + self.products.words());
        Footprint { plan: tables + self.filters.bytes(), scratch: self.x.scratch().and(planes) }
    }

    #[inline(always)]
    pub(super) fn images<M: Arithmetic, T: Float, O: Maps>(
        &self,
        x: &[T],
        maps: &O,
        scratch: &mut Scratch,
    ) {
        match self.form {
            Form::Single => self.multiply::<M, M::Single, Singles, T, O>(x, maps, scratch),
            Form::Pairs => self.multiply::<M, M, ChannelPairs, T, O>(x, maps, scratch),
        }
    }

    /// [`Gather::images`] with products by `P`.
    #[inline(always)]
    fn multiply<M: Arithmetic, P: Arithmetic, W: Words, T: Float, O: Maps>(
        &self,
        x: &[T],
        maps: &O,
        scratch: &mut Scratch,
    ) {
        let Gather { tiles, inputs, products, .. } = self;
        let planes = scratch.words(Slot::Planes, inputs.words() + products.words());
        let (v, m) = planes.split_at_mut(inputs.words());
        let [v, m] = [v, m].map(|words| words.as_mut_ptr().cast::<f32>());
        let (mut image, mut placed) = (std::ptr::null::<f32>(), usize::MAX);
        for (first, count) in tiles.bands(x.len() / self.image_len) {
            for index in 0..count {
                let row = first + index;
                let (number, row) = (row / tiles.rows, row % tiles.rows);
                if number != placed {
                    let x = &x[number * self.image_len..][..self.image_len];
                    (image, placed) = (self.x.place(x, scratch).cast(), number);
                }
                // SAFETY: the image has the zeros that its tiles reach over; the planes have a row
                // for each tile of a band; the task runs on the plan's engine.
                unsafe {
                    let row = image.add(TILE * row * self.x.pitch);
                    let to = v.add(index * tiles.columns * inputs.pitch);
                    let from = (row, self.x.pitch);
                    tiles.input_row::<M, W>(from, self.channels, (to, *inputs));
                }
            }
            for point in 0..PLANES {
                // SAFETY: rows of the planes that were just written, of whole vectors.
                unsafe {
                    let product = Product {
                        a: v.add(point * inputs.step).cast(),
                        rows: &self.rows[..count * tiles.columns],
                        a_step: WORD,
                        b: self.filters.plane(point),
                        b_pitch: self.filters.planes.pitch,
                        runs: &[Run { a: 0, b: 0, len: self.form.words(self.channels) as u32 }],
                        n: self.columns,
                    };
                    let c = m.add(point * products.step);
                    let plane = Plane { c, pitch: products.pitch, sum: Sum::Store };
                    P::multiply(&product, &plane);
                }
            }
            for index in 0..count {
                let row = first + index;
                // SAFETY: the products of the row's tiles, to a map of theirs.
                unsafe {
                    let to = maps.of(row / tiles.rows);
                    let from = m.add(index * tiles.columns * products.pitch);
                    let from = (from.cast_const(), *products);
                    tiles.output_row::<M::S, _>(from, row % tiles.rows, self.columns, &to);
                }
            }
        }
    }
}

/// The zeros around a map whose gradient is gathered.
fn reversed(Padding { top, bottom, left, right }: Padding) -> Padding {
    let [top, bottom, left, right] = [top, bottom, left, right].map(|side| TAPS - 1 - side);
    Padding { top, bottom, left, right }
}
