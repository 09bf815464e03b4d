//! A pass of a convolution as a gather: which pixels of its input each of its results sees.

use bytemuck::NoUninit;

use crate::Result;
use crate::cuda::images::{counted, counted2};
use crate::ops::Conv2d;

/// Results at `first + i step_out` for positions `i`, each a sum over taps of the input at
/// `origin + i step_in + place`, times a tap of the filters.
///
/// A forward pass is one window. The gradient of the input is one for each phase of the stride,
/// since results that are a stride apart see the same taps; a phase may have no taps at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Down and across.
    pub(super) axes: [Axis; 2],
    pub(super) input: Extent,
    pub(super) output: Extent,
    /// Taps across of the filters, whose taps are counted row by row.
    filter_width: usize,
}

/// Height, width and channels of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) size: [usize; 2],
    pub(super) channels: usize,
}

impl Extent {
    pub(super) fn elements(self) -> usize {
        self.size[0] * self.size[1] * self.channels
    }
}

/// A [`Window`] along one axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) positions: usize,
    pub(super) first: usize,
    pub(super) step_out: usize,
    pub(super) step_in: usize,
    /// May be before the input.
    pub(super) origin: isize,
    pub(super) taps: Vec<Tap>,
}

/// A tap along one axis: its place in the window, and which of the filters it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tap {
    pub(super) place: usize,
    pub(super) index: usize,
}

impl Axis {
    fn fprop(g: &Conv2d, axis: usize) -> Self {
        let tap = |index| Tap { place: index * g.dilation[axis], index };
        Axis {
            positions: g.output()[axis],
            first: 0,
            step_out: 1,
            step_in: g.stride[axis],
            origin: -(before(g)[axis] as isize),
            taps: (0..g.kernel[axis]).map(tap).collect(),
        }
    }

    /// The input at `phase + i stride` is under tap `r` of the window of output
    /// `i + (phase + before - r dilation) / stride`, if that is whole.
    fn dgrad(g: &Conv2d, axis: usize, phase: usize) -> Self {
        let stride = g.stride[axis] as isize;
        let shifts: Vec<(isize, usize)> = (0..g.kernel[axis])
            .filter_map(|index| {
                let place =
                    (phase + before(g)[axis]) as isize - (index * g.dilation[axis]) as isize;
                (place.rem_euclid(stride) == 0).then(|| (place.div_euclid(stride), index))
            })
            .collect();
        let origin = shifts.iter().map(|&(shift, _)| shift).min().unwrap_or(0);
        let tap = |&(shift, index)| Tap { place: isize::abs_diff(shift, origin), index };
        Axis {
            positions: (g.input[axis] - phase).div_ceil(g.stride[axis]),
            first: phase,
            step_out: g.stride[axis],
            step_in: 1,
            origin,
            taps: shifts.iter().map(tap).collect(),
        }
    }

    /// How many pixels `positions` windows side by side see.
    pub(super) fn halo(&self, positions: usize) -> usize {
        let span = self.taps.iter().map(|tap| tap.place + 1).max().unwrap_or(1);
        (positions - 1) * self.step_in + span
    }

    /// The origin as the kernels take it: what is before the input wraps round.
    pub(super) fn wrapped_origin(&self) -> u32 {
        self.origin as i32 as u32
    }
}

fn before(g: &Conv2d) -> [usize; 2] {
    [g.padding.top, g.padding.left]
}

impl Window {
    pub(super) fn fprop(g: &Conv2d) -> Self {
        let [input, output] = extents(g);
        let axes = [0, 1].map(|axis| Axis::fprop(g, axis));
        Window { axes, input, output, filter_width: g.kernel[1] }
    }

    pub(super) fn dgrad(g: &Conv2d) -> Vec<Self> {
        let [output, input] = extents(g);
        let phases = [0, 1].map(|axis| 0..g.stride[axis].min(g.input[axis]));
        let down = phases[0].clone().map(|phase| Axis::dgrad(g, 0, phase));
        down.flat_map(|down| {
            let filter_width = g.kernel[1];
            phases[1].clone().map(move |phase| {
                let axes = [down.clone(), Axis::dgrad(g, 1, phase)];
                Window { axes, input, output, filter_width }
            })
        })
        .collect()
    }

    /// How many positions an image has.
    pub(super) fn positions(&self) -> usize {
        self.axes[0].positions * self.axes[1].positions
    }

    pub(super) fn taps(&self) -> usize {
        self.axes[0].taps.len() * self.axes[1].taps.len()
    }

    /// For each tap its place down, and then for each its place across.
    pub(super) fn places(&self) -> Vec<u32> {
        let [down, across] = &self.axes;
        let rows = down.taps.iter().flat_map(|tap| across.taps.iter().map(|_| tap.place));
        let columns = down.taps.iter().flat_map(|_| across.taps.iter().map(|tap| tap.place));
        rows.chain(columns).map(|place| place as u32).collect()
    }

    /// For each tap the number of the filters' tap that it is, counted row by row.
    pub(super) fn filter_taps(&self) -> Vec<usize> {
        let [down, across] = &self.axes;
        let row = |r: &Tap| r.index * self.filter_width;
        down.taps.iter().flat_map(|r| across.taps.iter().map(move |s| row(r) + s.index)).collect()
    }

    pub(super) fn each_axis<T>(&self, value: impl Fn(&Axis) -> T) -> [T; 2] {
        [value(&self.axes[0]), value(&self.axes[1])]
    }
}

/// Input and output of a convolution.
pub(super) fn extents(g: &Conv2d) -> [Extent; 2] {
    [
        Extent { size: g.input, channels: g.channels },
        Extent { size: g.output(), channels: g.filters },
    ]
}

pub(super) const OP: &str = "conv2d";

/// Activations as kernels take them.
#[derive(Clone, Copy, Debug, NoUninit)]
#[repr(C)]
pub(super) struct Map {
    images: u32,
    extent: [u32; 2],
    channels: u32,
}

impl Map {
    pub(super) fn of(images: usize, extent: Extent) -> Result<Self> {
        Ok(Map {
            images: counted(OP, "the number of images", images)?,
            extent: counted2(OP, "input and output", extent.size)?,
            channels: counted(OP, "channels and filters", extent.channels)?,
        })
    }
}

/// Checks what kernels of any kind count with 32 bits.
pub(super) fn check(g: &Conv2d) -> Result<()> {
    for extent in extents(g) {
        counted(OP, "the number of elements of an image", extent.elements())?;
    }
    counted2(OP, "the padded input", g.padded())?;
    counted2(OP, "kernel", g.kernel)?;
    counted2(OP, "stride", g.stride)?;
    counted2(OP, "dilation", g.dilation)?;
    counted(OP, "the number of elements of the filters", g.filter_shape().count())?;
    Ok(())
}
