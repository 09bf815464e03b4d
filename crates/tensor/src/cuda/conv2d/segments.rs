//! What kernels on tensor cores read and write, as they take it: lists of segments of channels.

use bytemuck::{Pod, Zeroable};

use crate::cuda::buffer::Argument;
use crate::cuda::{Buffer, Cuda};
use crate::ops::{
    self, Activation, Conv2dParts, Normalised, OutputGradient, Producer, SegmentMut, Sum, Sums,
    Through,
};
use crate::{DType, Result};

/// Most segments of a list.
pub(super) const MOST: usize = 24;

/// What the channels of a segment are a multiple of but for a single one that is read or written as
/// it is stored: half a chunk.
pub(super) const HALF: usize = 4;

/// A segment of `source.cuh`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Segment {
    x: u64,
    y: u64,
    lines: u64,
    channels: u32,
    relu: u32,
}

/// The source of `source.cuh`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Source {
    segments: u32,
    normalised: u32,
    at: [Segment; MOST],
}

/// A sink of `results.cuh`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Sink {
    y: u64,
    mask: u64,
    x: u64,
    normalizer: u64,
    sums: u64,
    channels: u32,
    first: u32,
    add: u32,
    relu: u32,
}

/// The sinks of `results.cuh`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Sinks {
    moments: u64,
    segments: u32,
    summed: u32,
    pub(super) first_part: u32,
    width: u32,
    at: [Sink; MOST],
}

/// The buffers of one call: of a stream and, but for statistics, of a type.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub(super) on: &'a Cuda,
    pub(super) dtype: DType,
    /// Pixels of all images.
    pub(super) pixels: usize,
    pub(super) parts: Conv2dParts,
}

impl Operands<'_> {
    /// A list of segments to read; none if the kernels cannot, see `source.cuh`.
    pub(super) fn source(&self, segments: &[ops::Segment<'_, Cuda>]) -> Result<Option<Source>> {
        let plain = matches!(segments, [ops::Segment { norm: None, .. }]);
        let halves = segments.iter().all(|segment| segment.channels.is_multiple_of(HALF));
        let fuses = |norm: &Option<Normalised<'_, Cuda>>| {
            norm.as_ref().is_none_or(|norm| fused(norm.activation).is_some())
        };
        let known = segments.iter().all(|segment| fuses(&segment.norm));
        if !(plain || halves && known && segments.len() <= MOST) {
            return Ok(None);
        }
        let mut source = Source { segments: segments.len() as u32, ..Source::zeroed() };
        for (&ops::Segment { x, channels, ref norm }, at) in segments.iter().zip(&mut source.at) {
            at.x = self.activations(x, channels)?;
            at.channels = channels as u32;
            let Some(Normalised { normalizer, activation }) = norm else { continue };
            source.normalised = 1;
            at.lines = self.statistics(normalizer.read(4 * channels))?;
            at.relu = fused(*activation).unwrap_or(0);
        }
        Ok(Some(source))
    }

    /// The gradient of an output of so many filters; none if the kernels cannot read it.
    pub(super) fn gradient(
        &self,
        gradient: &OutputGradient<'_, Cuda>,
        filters: usize,
    ) -> Result<Option<Source>> {
        let mut source = Source { segments: 1, ..Source::zeroed() };
        let at = &mut source.at[0];
        (at.x, at.channels) = (self.activations(gradient.dy, filters)?, filters as u32);
        let Some(Through { y, coefficients, activation }) = &gradient.norm else {
            return Ok(Some(source));
        };
        let Some(relu) = fused(*activation).filter(|_| filters.is_multiple_of(HALF)) else {
            return Ok(None);
        };
        source.normalised = 1;
        at.y = self.activations(y, filters)?;
        at.lines = self.statistics(coefficients.read(4 * filters))?;
        at.relu = relu;
        Ok(Some(source))
    }

    /// An output with its moments.
    pub(super) fn output(&self, output: ops::Output<'_, Cuda>, filters: usize) -> Result<Sinks> {
        let mut sinks = self.sink(output.y, None, filters)?;
        if let Some(moments) = output.moments {
            let len = 3 * self.parts.moments * filters;
            sinks.moments = self.statistics(moments.write(len))?;
        }
        Ok(sinks)
    }

    /// One buffer of so many channels; where a mask is given, zero where it is not above zero.
    pub(super) fn sink(
        &self,
        y: &mut Buffer,
        mask: Option<&Buffer>,
        channels: usize,
    ) -> Result<Sinks> {
        let mut sinks = Sinks { segments: 1, width: width([channels]), ..Sinks::zeroed() };
        let at = &mut sinks.at[0];
        at.channels = channels as u32;
        at.mask = mask.map_or(Ok(0), |mask| self.activations(mask, channels))?;
        at.y = self.written(y, channels)?;
        Ok(sinks)
    }

    /// A list of segments to write; none if the kernels cannot, see `results.cuh`.
    pub(super) fn sinks(&self, segments: &mut [SegmentMut<'_, Cuda>]) -> Result<Option<Sinks>> {
        let fuses = |segment: &SegmentMut<'_, Cuda>| {
            let known = match &segment.producer {
                Producer::Any | Producer::Relu(_) => true,
                Producer::BatchNorm(sums) => fused(sums.activation).is_some(),
            };
            known && segment.channels.is_multiple_of(HALF)
        };
        let stored = |segment: &SegmentMut<'_, Cuda>| {
            segment.sum == Sum::Store && !matches!(segment.producer, Producer::BatchNorm(_))
        };
        let plain = matches!(&*segments, [segment] if stored(segment));
        if !(plain || segments.iter().all(fuses) && segments.len() <= MOST) {
            return Ok(None);
        }
        let width = width(segments.iter().map(|segment| segment.channels));
        let mut sinks = Sinks { segments: segments.len() as u32, width, ..Sinks::zeroed() };
        let mut first = 0;
        for (segment, at) in segments.iter_mut().zip(&mut sinks.at) {
            let channels = segment.channels;
            (at.first, at.channels) = (first, channels as u32);
            first += channels as u32;
            at.add = u32::from(segment.sum == Sum::Add);
            at.y = self.written(segment.dx, channels)?;
            match &mut segment.producer {
                Producer::Any => {}
                Producer::Relu(y) => at.mask = self.activations(y, channels)?,
                Producer::BatchNorm(Sums { x, normalizer, activation, sums }) => {
                    sinks.summed = 1;
                    at.x = self.activations(x, channels)?;
                    at.normalizer = self.statistics(normalizer.read(4 * channels))?;
                    at.relu = fused(*activation).unwrap_or(0);
                    at.sums = self.statistics(sums.write(2 * self.parts.sums * channels))?;
                }
            }
        }
        Ok(Some(sinks))
    }

    fn activations(&self, buffer: &Buffer, channels: usize) -> Result<u64> {
        self.pointer(buffer.read(self.pixels * channels), self.dtype)
    }

    fn written(&self, buffer: &mut Buffer, channels: usize) -> Result<u64> {
        self.pointer(buffer.write(self.pixels * channels), self.dtype)
    }

    pub(super) fn statistics(&self, argument: Argument<'_>) -> Result<u64> {
        self.pointer(argument, DType::F32)
    }

    /// Where a buffer is, for a geometry: what a launch checks of its arguments is checked here.
    fn pointer(&self, argument: Argument<'_>, expected: DType) -> Result<u64> {
        self.on.address(argument, expected)
    }
}

/// How many channels a thread stores at once of segments of so many.
fn width(channels: impl IntoIterator<Item = usize>) -> u32 {
    // The largest power of two that divides them all.
    let common = channels.into_iter().fold(0, |bits, channels| bits | channels).trailing_zeros();
    if common == HALF.trailing_zeros() { HALF as u32 } else { 8 }
}

/// Whether a function that kernels fuse is relu; none for the others.
fn fused(activation: Option<Activation>) -> Option<u32> {
    match activation {
        None => Some(0),
        Some(Activation::Relu) => Some(1),
        Some(Activation::Tanh | Activation::Sigmoid) => None,
    }
}
