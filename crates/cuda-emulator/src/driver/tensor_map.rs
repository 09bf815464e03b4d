//! Tensor maps for TMA copies.

use super::api;
use super::ffi::{In, Out};
use super::memory::range;
use crate::emulator::emulator;
use crate::status::{Res, Status};
use std::ffi::{c_int, c_uint};

/// The emulator's content of the 128 opaque bytes; `__emu::TensorMap` in the shim.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct TensorMap {
    magic: u64,
    base: u64,
    /// Bytes between steps of the second and later dimensions.
    strides: [u64; 4],
    dimensions: [u32; 5],
    boxes: [u16; 5],
    rank: u8,
    element: u8,
    swizzle: u8,
    nan_fill: u8,
    _rest: [u64; 5],
}

const _: () = assert!(size_of::<TensorMap>() == 128);
const MAGIC: u64 = u64::from_le_bytes(*b"emu tmap");

api! {
    fn cuTensorMapEncodeTiled(
        map: Out<TensorMap>, kind: c_int, rank: c_uint, base: u64, dimensions: In<u64>,
        strides: In<u64>, boxes: In<c_uint>, element_strides: In<c_uint>, interleave: c_int,
        swizzle: c_int, _l2: c_int, fill: c_int,
    ) {
        if interleave != 0 {
            let text = "an interleaved tensor map: those are not emulated".into();
            return Err(emulator().refuse(Status::NOT_SUPPORTED, text));
        }
        let rank = rank as usize;
        if !(1..=5).contains(&rank)
            || !map.address().is_multiple_of(64)
            || !base.is_multiple_of(16)
            || element_strides.read(rank)?.iter().any(|stride| *stride != 1)
        {
            return Err(Status::INVALID_VALUE);
        }
        let geometry = (dimensions.read(rank)?, strides.read(rank - 1)?, boxes.read(rank)?);
        let tiles = encode(kind, geometry, swizzle)?;
        range(base, 1)?;
        map.set(TensorMap { base, nan_fill: u8::from(fill == 1), ..tiles })
    }
}

/// Checks the rules of the documentation and packs the fields.
fn encode(
    kind: c_int,
    (dimensions, strides, boxes): (Vec<u64>, Vec<u64>, Vec<c_uint>),
    swizzle: c_int,
) -> Res<TensorMap> {
    let element = match kind {
        0 => 1u8,
        1 | 6 | 9 => 2,
        2 | 3 | 7 | 10 | 11 | 12 => 4,
        4 | 5 | 8 => 8,
        _ => return Err(Status::INVALID_VALUE),
    };
    let inner = boxes[0] as usize * element as usize;
    let widest = match swizzle {
        0 => usize::MAX,
        1 => 32,
        2 => 64,
        3 => 128,
        _ => return Err(Status::INVALID_VALUE),
    };
    let dimensions_fit = dimensions.iter().all(|d| (1..=1 << 32).contains(d));
    let strides_fit = strides.iter().all(|s| s.is_multiple_of(16) && *s < 1 << 40);
    let boxes_fit = boxes.iter().all(|b| (1..=256).contains(b));
    let inner_fits = inner.is_multiple_of(16) && inner <= widest;
    if !(dimensions_fit && strides_fit && boxes_fit && inner_fits) {
        return Err(Status::INVALID_VALUE);
    }
    let mut map = TensorMap {
        magic: MAGIC,
        base: 0,
        strides: [0; 4],
        dimensions: [0; 5],
        boxes: [0; 5],
        rank: dimensions.len() as u8,
        element,
        swizzle: swizzle as u8,
        nan_fill: 0,
        _rest: [0; 5],
    };
    map.strides[..strides.len()].copy_from_slice(&strides);
    for (to, from) in map.dimensions.iter_mut().zip(&dimensions) {
        *to = u32::try_from(*from).unwrap_or(u32::MAX);
    }
    for (to, from) in map.boxes.iter_mut().zip(&boxes) {
        *to = *from as u16;
    }
    Ok(map)
}
