use super::Footprint;
use super::border::{Bordered, Form, Read, paired_words, place_paired_columns};
use super::output::{Columns, Rows};
use crate::cpu::kernel::{Product, Run, WORD};
use crate::cpu::scratch::{Demand, Scratch, Slot};
use crate::cpu::simd::{Arithmetic, Engine};
use crate::ops::{Conv2d, Padding};
use crate::{DType, Float};

/// The gradient of the filters: the sum runs over the pixels of the map, in pairs along its rows
/// where words are pairs.
pub(super) struct Wgrad {
    x: Bordered,
    /// The map, read where it is or copied to where vectors may reach past its end.
    dy: Bordered,
    form: Form,
    map: [usize; 3],
    /// Elements from one window to the next.
    window_step: usize,
    rsc: usize,
    orientation: Orientation,
}

/// What a product of window rows costs beside one of filter rows with as many idle lanes: it reads
/// a word or two from every cache line of the image in every row of tiles.
const WINDOW_ROWS_COST: f64 = 1.5;

/// Which operand is broadcast; the cheaper one is chosen.
enum Orientation {
    /// Filters are rows, contiguous elements of the window columns.
    FilterRows { rows: Vec<u32>, windows: Vec<Window> },
    /// Elements of the window are rows, filters columns.
    WindowRows { rows: Vec<u32>, runs: Vec<Run> },
}

/// A contiguous piece of the window: where its gradient goes, how long it is, and its runs.
struct Window {
    place: usize,
    length: usize,
    runs: Vec<Run>,
}

impl Wgrad {
    pub(super) fn new(g: &Conv2d, engine: Engine, dtype: DType) -> Self {
        let form = Form::of(engine);
        let c = g.channels;
        let k = g.filters;
        let [r, s] = g.kernel;
        let [p, q] = g.output();
        let rsc = r * s * c;
        let (pieces, length) = if g.dilation[1] == 1 { (1, s * c) } else { (s, c) };
        let lanes = engine.lanes();
        let idle = |columns: usize| columns.next_multiple_of(lanes) as f64 / columns as f64;
        let filter_rows = idle(length) <= WINDOW_ROWS_COST * idle(k);
        let (x_unit, dy_unit) = if filter_rows { (lanes, 1) } else { (1, lanes) };
        let image = [g.input[0], g.input[1], c];
        let x = Bordered::new(image, g.padding, (dtype, form), Read::of(length, x_unit));
        let dy = [p, q, k];
        let dy = Bordered::new(dy, Padding::default(), (dtype, form), Read::of(k, dy_unit))
            .in_slot(Slot::Map);
        // Words of a row of the map's pixels, and of elements from one word of x to the next.
        let (row_words, window_step) = match form {
            Form::Single => (q, g.stride[1] * c),
            Form::Pairs => (q.div_ceil(2), 2 * g.stride[1] * c),
        };
        let x_row = |p: usize| p * g.stride[0] * x.pitch;
        let dy_row = |p: usize| p * row_words * k;
        let tap =
            |row: usize, piece: usize| row * g.dilation[0] * x.pitch + piece * g.dilation[1] * c;
        let orientation = if filter_rows {
            let window = |row: usize, piece: usize| Window {
                place: (row * pieces + piece) * length,
                length,
                runs: (0..p)
                    .map(|p| Run {
                        a: (WORD * dy_row(p)) as u32,
                        b: (x_row(p) + tap(row, piece)) as u32,
                        len: row_words as u32,
                    })
                    .collect(),
            };
            Orientation::FilterRows {
                rows: (0..k).map(|filter| (WORD * filter) as u32).collect(),
                windows: (0..r)
                    .flat_map(|row| (0..pieces).map(move |piece| (row, piece)))
                    .map(|(row, piece)| window(row, piece))
                    .collect(),
            }
        } else {
            Orientation::WindowRows {
                rows: (0..rsc)
                    .map(|element| {
                        let (row, within) = (element / (s * c), element % (s * c));
                        let (piece, offset) = (within / length, within % length);
                        (WORD * (tap(row, piece) + offset)) as u32
                    })
                    .collect(),
                runs: (0..p)
                    .map(|p| Run {
                        a: (WORD * x_row(p)) as u32,
                        b: dy_row(p) as u32,
                        len: row_words as u32,
                    })
                    .collect(),
            }
        };
        Wgrad { x, dy, form, map: [p, q, k], window_step, rsc, orientation }
    }

    /// Bytes that the pass holds, and of scratch that it takes.
    pub(super) fn footprint(&self) -> Footprint {
        let plan = match &self.orientation {
            Orientation::FilterRows { rows, windows } => {
                let runs = |window: &Window| size_of_val(&window.runs[..]);
                size_of_val(&rows[..])
                    + size_of_val(&windows[..])
                    + windows.iter().map(runs).sum::<usize>()
            }
            Orientation::WindowRows { rows, runs } => {
                size_of_val(&rows[..]) + size_of_val(&runs[..])
            }
        };
        let scratch = match self.form {
            Form::Single => self.x.scratch().and(self.dy.scratch()),
            Form::Pairs => {
                let map = Demand::of(Slot::Map, paired_words(self.map));
                self.x.woven_scratch(self.window_step / 2).and(map)
            }
        };
        Footprint { plan, scratch }
    }

    /// Adds one image's gradient to `dw`.
    #[inline(always)]
    pub(super) fn image<M: Arithmetic, T: Float>(
        &self,
        x: &[T],
        dy: &[T],
        dw: &mut [f32],
        scratch: &mut Scratch,
    ) {
        debug_assert_eq!(dw.len(), self.rsc * self.map[2]);
        let (x, dy) = match self.form {
            Form::Single => (self.x.place(x, scratch), self.dy.place(dy, scratch)),
            Form::Pairs => (
                self.x.place_woven(x, self.window_step / 2, scratch),
                place_paired_columns(dy, self.map, scratch),
            ),
        };
        self.sum::<M>(x, dy, dw);
    }

    /// `x` and `dy` are addresses of words, laid out as the constructor assumed.
    #[inline(always)]
    fn sum<M: Arithmetic>(&self, x: *const u8, dy: *const u8, dw: &mut [f32]) {
        let k = self.map[2];
        match &self.orientation {
            Orientation::FilterRows { rows, windows } => {
                for window in windows {
                    let product = Product {
                        a: dy,
                        rows,
                        a_step: WORD * k,
                        b: x.cast(),
                        b_pitch: self.window_step,
                        runs: &window.runs,
                        n: window.length,
                    };
                    let c = dw[window.place..].as_mut_ptr();
                    // SAFETY: rows and runs were computed from the layouts of x and dy, whose
                    // vectors may be read whole; row k and column n of the window lie in `dw`; the
                    // task runs on the engine that the plan was made for.
                    unsafe { M::multiply(&product, &Rows { c, pitch: self.rsc }) }
                }
            }
            Orientation::WindowRows { rows, runs } => {
                let product = Product {
                    a: x,
                    rows,
                    a_step: WORD * self.window_step,
                    b: dy.cast(),
                    b_pitch: k,
                    runs,
                    n: k,
                };
                // SAFETY: as above.
                unsafe {
                    M::multiply(&product, &Columns { c: dw.as_mut_ptr(), pitch: self.rsc });
                }
            }
        }
    }
}
