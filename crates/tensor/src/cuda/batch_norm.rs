use bytemuck::NoUninit;

use super::activation::function;
use super::buffer::Argument;
use super::columns::Slices;
use super::launch::Grid;
use super::module::kernels;
use super::stream::Scratch;
use super::{Buffer, Cuda};
use crate::ops::{Activation, BatchNorm, BatchNormBackend, Parts, Rows, Sum, Upstream};
use crate::{DType, Result};

kernels! { nasrl_kernels::BATCH_NORM {
    MOMENTS_SLICES: batch_norm_moments_slices<f32, bf16, f16>(read T, write f32; Slices);
    MOMENTS_TOTAL: batch_norm_moments_total(read f32, write f32; Slices);
    FOLD_MOMENTS: batch_norm_fold_moments(read f32, write u32; Norm);
    NORMALIZER: batch_norm_normalizer(read f32, read u32, read f32, write f32, write f32; Norm);
    RUNNING_NORMALIZER: batch_norm_running_normalizer(read f32, read f32, write f32; Norm);
    APPLY: batch_norm_apply<f32, bf16, f16>(read T, read f32, write T; Apply);
    SUMS_SLICES:
        batch_norm_sums_slices<f32, bf16, f16>(read T, read T, read f32, write f32; BackwardSlices);
    SUMS_TOTAL: batch_norm_sums_total(read f32, write f32; Slices);
    FOLD_SUMS: batch_norm_fold_sums(read f32, write u32; Coefficients);
    COEFFICIENTS:
        batch_norm_coefficients(read f32, read u32, read f32, write f32, write f32; Coefficients);
    BACKWARD_APPLY:
        batch_norm_backward_apply<f32, bf16, f16>(read T, read T, read f32, write T; Apply);
} }

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Norm {
    channels: u64,
    parts: u32,
    folded: u32,
    epsilon: f32,
    momentum: f32,
}

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Apply {
    rows: u64,
    channels: u64,
    function: u32,
    reserved: u32,
}

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct BackwardSlices {
    slices: Slices,
    function: u32,
    reserved: u32,
}

#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Coefficients {
    channels: u64,
    rows: u64,
    parts: u32,
    folded: u32,
}

impl BatchNormBackend for Cuda {
    fn batch_norm_moments(&self, rows: Rows, x: &Buffer, moments: &mut Buffer) -> Result<()> {
        let slices = Slices::of(rows, Sum::Store);
        let len = 3 * slices.partial();
        let mut partial = self.scratch(DType::F32, len)?;
        let arguments = [x.read(rows.elements()), partial.write(len)];
        self.launch(&MOMENTS_SLICES, slices.grid(), arguments, slices)?;
        let arguments = [partial.read(len), moments.write(3 * rows.channels)];
        self.launch(&MOMENTS_TOTAL, each_channel(rows.channels), arguments, slices)
    }

    fn batch_norm_normalizer(
        &self,
        norm: &BatchNorm,
        blocks: &[Parts<'_, Self>],
        parameters: &Buffer,
        running: &mut Buffer,
        normalizer: &mut Buffer,
    ) -> Result<()> {
        let channels = norm.channels;
        let Some((last, earlier)) = blocks.split_last() else { return Ok(()) };
        let grid = each_32_channels(channels);
        let mut state = State::new(self, 3 * channels, earlier.len())?;
        let mut geometry = Norm::of(norm);
        for block in earlier {
            geometry.parts = block.count as u32;
            let arguments = [block.buffer.read(3 * block.count * channels), state.write()];
            self.launch(&FOLD_MOMENTS, grid, arguments, geometry)?;
            geometry.folded = 1;
        }
        geometry.parts = last.count as u32;
        let arguments = [
            last.buffer.read(3 * last.count * channels),
            state.read(self),
            parameters.read(2 * channels),
            running.write(2 * channels),
            normalizer.write(4 * channels),
        ];
        self.launch(&NORMALIZER, grid, arguments, geometry)
    }

    fn batch_norm_running_normalizer(
        &self,
        norm: &BatchNorm,
        parameters: &Buffer,
        running: &Buffer,
        normalizer: &mut Buffer,
    ) -> Result<()> {
        let channels = norm.channels;
        let arguments = [
            parameters.read(2 * channels),
            running.read(2 * channels),
            normalizer.write(4 * channels),
        ];
        self.launch(&RUNNING_NORMALIZER, each_channel(channels), arguments, Norm::of(norm))
    }

    fn batch_norm_apply(
        &self,
        activation: Option<Activation>,
        rows: Rows,
        x: &Buffer,
        normalizer: &Buffer,
        y: &mut Buffer,
    ) -> Result<()> {
        let len = rows.elements();
        let arguments = [x.read(len), normalizer.read(4 * rows.channels), y.write(len)];
        self.launch(&APPLY, Grid::elementwise(len), arguments, Apply::of(rows, activation))
    }

    fn batch_norm_backward_sums(
        &self,
        rows: Rows,
        upstream: &Upstream<'_, Self>,
        normalizer: &Buffer,
        sums: &mut Buffer,
    ) -> Result<()> {
        let slices = Slices::of(rows, Sum::Store);
        let len = 2 * slices.partial();
        let mut partial = self.scratch(DType::F32, len)?;
        let arguments = [
            upstream.x.read(rows.elements()),
            upstream.dy.read(rows.elements()),
            normalizer.read(4 * rows.channels),
            partial.write(len),
        ];
        let function = function(upstream.activation);
        let geometry = BackwardSlices { slices, function, reserved: 0 };
        self.launch(&SUMS_SLICES, slices.grid(), arguments, geometry)?;
        let arguments = [partial.read(len), sums.write(2 * rows.channels)];
        self.launch(&SUMS_TOTAL, each_channel(rows.channels), arguments, slices)
    }

    fn batch_norm_coefficients(
        &self,
        rows: Rows,
        sums: &[Parts<'_, Self>],
        normalizer: &Buffer,
        gradients: &mut Buffer,
        coefficients: &mut Buffer,
    ) -> Result<()> {
        let channels = rows.channels;
        let Some((last, earlier)) = sums.split_last() else { return Ok(()) };
        let grid = each_32_channels(channels);
        let mut state = State::new(self, 2 * channels, earlier.len())?;
        let Rows { count, channels: width } = rows;
        let mut geometry =
            Coefficients { channels: width as u64, rows: count as u64, parts: 0, folded: 0 };
        for block in earlier {
            geometry.parts = block.count as u32;
            let arguments = [block.buffer.read(2 * block.count * channels), state.write()];
            self.launch(&FOLD_SUMS, grid, arguments, geometry)?;
            geometry.folded = 1;
        }
        geometry.parts = last.count as u32;
        let arguments = [
            last.buffer.read(2 * last.count * channels),
            state.read(self),
            normalizer.read(4 * channels),
            gradients.write(2 * channels),
            coefficients.write(4 * channels),
        ];
        self.launch(&COEFFICIENTS, grid, arguments, geometry)
    }

    fn batch_norm_backward_apply(
        &self,
        rows: Rows,
        upstream: &Upstream<'_, Self>,
        coefficients: &Buffer,
        dx: &mut Buffer,
    ) -> Result<()> {
        let len = rows.elements();
        let arguments = [
            upstream.x.read(len),
            upstream.dy.read(len),
            coefficients.read(4 * rows.channels),
            dx.write(len),
        ];
        let geometry = Apply::of(rows, upstream.activation);
        self.launch(&BACKWARD_APPLY, Grid::elementwise(len), arguments, geometry)
    }
}

impl Norm {
    fn of(norm: &BatchNorm) -> Self {
        let BatchNorm { channels, epsilon, momentum, .. } = *norm;
        Norm { channels: channels as u64, parts: 0, folded: 0, epsilon, momentum }
    }
}

impl Apply {
    fn of(rows: Rows, activation: Option<Activation>) -> Self {
        let function = function(activation);
        Apply { rows: rows.count as u64, channels: rows.channels as u64, function, reserved: 0 }
    }
}

fn each_channel(channels: usize) -> Grid {
    Grid::over(channels, 256)
}

/// Blocks of 32 channels.
fn each_32_channels(channels: usize) -> Grid {
    Grid::over(channels, 32)
}

/// What the blocks before the last one come to, so many f64; nothing if there are none.
struct State {
    len: usize,
    buffer: Option<Scratch>,
}

impl State {
    fn new(on: &Cuda, values: usize, earlier: usize) -> Result<Self> {
        // A number of 64 bits is two words: no tensor is of f64.
        let len = 2 * values;
        let buffer = match earlier {
            0 => None,
            _ => Some(on.scratch(DType::U32, len)?),
        };
        Ok(State { len, buffer })
    }

    /// For a kernel that folds a block: there is one before the last.
    fn write(&mut self) -> Argument<'_> {
        self.buffer.as_mut().expect("there are earlier blocks").write(self.len)
    }

    fn read(&self, on: &Cuda) -> Argument<'_> {
        self.buffer.as_ref().map_or(on.absent(DType::U32), |buffer| buffer.read(self.len))
    }
}
