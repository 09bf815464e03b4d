use super::Footprint;
use super::border::{Bordered, Form, Read};
use super::output::Gradient;
use super::pack::Packed;
use crate::cpu::kernel::{Product, Run, WORD};
use crate::cpu::scratch::Scratch;
use crate::cpu::simd::{Arithmetic, Engine};
use crate::ops::{Conv2d, Padding};
use crate::{DType, Float};

/// The gradient of the input: columns are channels, a run is a tap's filters.
///
/// Input pixels whose distance to the taps is the same remainder of the stride form a phase, and
/// every phase is a product of stride 1 over the taps that reach it; with stride 2 and 3x3
/// filters these are 4, 2, 2 and 1 taps, none of them wasted.
pub(super) struct Dgrad {
    dy: Bordered,
    phases: Vec<Phase>,
    columns: usize,
}

struct Phase {
    rows: Vec<u32>,
    places: Vec<u32>,
    runs: Vec<Run>,
    filters: Packed,
}

/// A tap that reaches a phase: its index in the filter, and which output pixel it multiplies,
/// counted from the phase's pixel of the same number.
struct Tap {
    index: usize,
    offset: [isize; 2],
}

impl Dgrad {
    pub(super) fn new(g: &Conv2d, engine: Engine, dtype: DType) -> Self {
        let form = Form::of(engine);
        let [p, q] = g.output();
        let phases: Vec<[usize; 2]> = (0..g.stride[0].min(g.input[0]))
            .flat_map(|y| (0..g.stride[1].min(g.input[1])).map(move |x| [y, x]))
            .collect();
        let taps: Vec<Vec<Tap>> = phases.iter().map(|phase| taps(g, *phase)).collect();
        let sizes: Vec<[usize; 2]> = phases.iter().map(|phase| phase_size(g, *phase)).collect();
        let reach = |axis: usize, extent: usize| {
            let offsets = taps.iter().zip(&sizes).flat_map(|(taps, size)| {
                taps.iter().map(move |tap| (tap.offset[axis], size[axis] as isize))
            });
            let (before, after) = offsets.fold((0, 0), |(before, after), (offset, size)| {
                (before.max(-offset), after.max(size + offset - extent as isize))
            });
            [before as usize, after as usize]
        };
        let ([top, bottom], [left, right]) = (reach(0, p), reach(1, q));
        let k = g.filters;
        let dy = Bordered::new(
            [p, q, k],
            Padding { top, bottom, left, right },
            (dtype, form),
            Read::of(k, form.elements()),
        );
        let rsc = g.kernel[0] * g.kernel[1] * g.channels;
        let build = |((phase, taps), size): (([usize; 2], Vec<Tap>), [usize; 2])| {
            let mut filters = Packed::new(form, [g.channels, 1], engine.lanes());
            let mut runs = Vec::new();
            for tap in taps {
                let source = |filter| (filter * rsc + tap.index * g.channels) as u32;
                let (b, len) = filters.append((0..k).map(source));
                let row = (top as isize + tap.offset[0]) as usize;
                let column = (left as isize + tap.offset[1]) as usize;
                let place = row * dy.pitch + column * k;
                runs.push(Run { a: (place * form.bytes()) as u32, b, len });
            }
            let pixels = || (0..size[0]).flat_map(|i| (0..size[1]).map(move |j| [i, j]));
            let row = |[i, j]: [usize; 2]| ((i * dy.pitch + j * k) * form.bytes()) as u32;
            let place = |[i, j]: [usize; 2]| {
                let y = phase[0] + i * g.stride[0];
                let x = phase[1] + j * g.stride[1];
                ((y * g.input[1] + x) * g.channels) as u32
            };
            Phase {
                rows: pixels().map(row).collect(),
                places: pixels().map(place).collect(),
                runs,
                filters,
            }
        };
        let phases = phases.into_iter().zip(taps).zip(sizes).map(build).collect();
        Dgrad { dy, phases, columns: g.channels }
    }

    /// Allocates what [`Dgrad::load`] fills.
    pub(super) fn make_room(&mut self) {
        self.phases.iter_mut().for_each(|phase| phase.filters.make_room());
    }

    /// Bytes that the pass holds, and of scratch that it takes.
    pub(super) fn footprint(&self) -> Footprint {
        let phase = |phase: &Phase| {
            size_of_val(&phase.rows[..])
                + size_of_val(&phase.places[..])
                + size_of_val(&phase.runs[..])
                + phase.filters.bytes()
        };
        let plan = self.phases.iter().map(phase).sum();
        Footprint { plan, scratch: self.dy.scratch() }
    }

    pub(super) fn load<T: Float>(&mut self, filters: &[f32]) {
        for phase in &mut self.phases {
            phase.filters.load::<T>(filters);
        }
    }

    /// One image.
    #[inline(always)]
    pub(super) fn image<M: Arithmetic, T: Float>(
        &self,
        dy: &[T],
        mask: Option<&[T]>,
        dx: &mut [T],
        scratch: &mut Scratch,
    ) {
        debug_assert!(mask.is_none_or(|mask| mask.len() == dx.len()));
        let mask = mask.map(<[T]>::as_ptr);
        let a = self.dy.place(dy, scratch);
        for phase in &self.phases {
            let product = Product {
                a,
                rows: &phase.rows,
                a_step: WORD,
                b: phase.filters.as_ptr(),
                b_pitch: phase.filters.pitch,
                runs: &phase.runs,
                n: self.columns,
            };
            let gradient = Gradient { dx: dx.as_mut_ptr(), places: &phase.places, mask };
            // SAFETY: the border covers the reach of every tap of every phase, the filters are
            // packed to whole vectors for all runs, the phases' places lie in `dx` and so in the
            // mask, and the task runs on the engine that the plan was made for.
            unsafe { M::multiply(&product, &gradient) }
        }
    }
}

/// The taps of both axes that reach the input pixels `phase + i stride`.
fn taps(g: &Conv2d, phase: [usize; 2]) -> Vec<Tap> {
    let reaching = |axis: usize, before: usize| {
        (0..g.kernel[axis]).filter_map(move |tap| {
            let distance = (phase[axis] + before) as isize - (tap * g.dilation[axis]) as isize;
            let stride = g.stride[axis] as isize;
            (distance.rem_euclid(stride) == 0).then(|| (tap, distance.div_euclid(stride)))
        })
    };
    let mut taps = Vec::new();
    for (r, down) in reaching(0, g.padding.top) {
        for (s, across) in reaching(1, g.padding.left) {
            taps.push(Tap { index: r * g.kernel[1] + s, offset: [down, across] });
        }
    }
    taps
}

/// How many input pixels a phase has, down and across.
fn phase_size(g: &Conv2d, phase: [usize; 2]) -> [usize; 2] {
    [0, 1].map(|axis| (g.input[axis] - phase[axis]).div_ceil(g.stride[axis]))
}
