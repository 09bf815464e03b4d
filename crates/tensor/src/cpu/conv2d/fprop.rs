use super::Footprint;
use super::border::{Bordered, Form, Read};
use super::output::Map;
use super::pack::Packed;
use crate::cpu::kernel::{Product, Run, WORD};
use crate::cpu::scratch::Scratch;
use crate::cpu::simd::{Arithmetic, Engine};
use crate::ops::Conv2d;
use crate::{DType, Float};

/// The forward pass: rows are output pixels, a run is a filter row (a tap, if dilated), columns
/// are filters.
pub(super) struct Fprop {
    x: Bordered,
    rows: Vec<u32>,
    places: Vec<u32>,
    runs: Vec<Run>,
    filters: Packed,
    columns: usize,
}

impl Fprop {
    pub(super) fn new(g: &Conv2d, engine: Engine, dtype: DType) -> Self {
        let form = Form::of(engine);
        let c = g.channels;
        let [r, s] = g.kernel;
        // Neighbouring taps of a row are contiguous in the image unless they are dilated.
        let (pieces, length) = if g.dilation[1] == 1 { (1, s * c) } else { (s, c) };
        let x = Bordered::new(
            [g.input[0], g.input[1], c],
            g.padding,
            (dtype, form),
            Read::of(length, form.elements()),
        );
        let rsc = r * s * c;
        let mut filters = Packed::new(form, [g.filters, rsc], engine.lanes());
        let mut runs = Vec::new();
        for row in 0..r {
            for piece in 0..pieces {
                let first = ((row * pieces + piece) * length) as u32;
                let (b, len) = filters.append(first..first + length as u32);
                let place = row * g.dilation[0] * x.pitch + piece * g.dilation[1] * c;
                runs.push(Run { a: (place * form.bytes()) as u32, b, len });
            }
        }
        let [p, q] = g.output();
        let pixels = (0..p).flat_map(|p| (0..q).map(move |q| [p, q]));
        let rows = pixels
            .map(|[p, q]| (p * g.stride[0] * x.pitch + q * g.stride[1] * c) * form.bytes())
            .map(|offset| offset as u32)
            .collect();
        let places = (0..p * q).map(|pixel| (pixel * g.filters) as u32).collect();
        Fprop { x, rows, places, runs, filters, columns: g.filters }
    }

    /// Allocates what [`Fprop::load`] fills.
    pub(super) fn make_room(&mut self) {
        self.filters.make_room();
    }

    /// Bytes that the pass holds, and of scratch that it takes.
    pub(super) fn footprint(&self) -> Footprint {
        let tables = size_of_val(&self.rows[..])
            + size_of_val(&self.places[..])
            + size_of_val(&self.runs[..]);
        Footprint { plan: tables + self.filters.bytes(), scratch: self.x.scratch() }
    }

    pub(super) fn load<T: Float>(&mut self, filters: &[f32]) {
        self.filters.load::<T>(filters);
    }

    /// One image.
    #[inline(always)]
    pub(super) fn image<M: Arithmetic, T: Float>(
        &self,
        x: &[T],
        (bias, relu): (Option<&[f32]>, bool),
        y: &mut [T],
        scratch: &mut Scratch,
    ) {
        debug_assert_eq!(y.len(), self.places.len() * self.columns);
        let product = Product {
            a: self.x.place(x, scratch),
            rows: &self.rows,
            a_step: WORD,
            b: self.filters.as_ptr(),
            b_pitch: self.filters.pitch,
            runs: &self.runs,
            n: self.columns,
        };
        let bias = bias.map(<[f32]>::as_ptr);
        let map = Map { y: y.as_mut_ptr(), places: &self.places, bias, relu };
        // SAFETY: every row and run was computed from the bordered image's own layout, the
        // filters are packed to whole vectors for all runs, `y` has a place for every pixel and
        // column, and the task runs on the engine that the plan was made for.
        unsafe { M::multiply(&product, &map) }
    }
}
