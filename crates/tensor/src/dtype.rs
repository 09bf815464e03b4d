use std::fmt;

use half::{bf16, f16};

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE 754 single precision: parameters, optimizer state, and activations by default.
    F32,
    /// The upper half of an `f32`: activations and gradients of the fast training mode.
    BF16,
    /// IEEE 754 half precision.
    F16,
    /// Image bytes.
    U8,
    /// Labels, tokens and other indices.
    U32,
}

impl DType {
    /// Bytes an element takes.
    pub const fn size(self) -> usize {
        match self {
            DType::F32 | DType::U32 => 4,
            DType::BF16 | DType::F16 => 2,
            DType::U8 => 1,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::BF16 => "bf16",
            DType::F16 => "f16",
            DType::U8 => "u8",
            DType::U32 => "u32",
        })
    }
}

/// A Rust type that tensors can hold.
pub trait Element: bytemuck::Pod + Send + Sync + PartialEq + fmt::Debug + 'static {
    /// The matching [`DType`].
    const DTYPE: DType;
}

/// An element that is computed with: loaded, widened to `f32`, rounded to nearest even when stored.
pub trait Float: Element {
    /// The value as `f32`, exactly.
    fn to_f32(self) -> f32;
    /// `value` rounded to nearest, ties to even.
    fn from_f32(value: f32) -> Self;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
}

impl Element for bf16 {
    const DTYPE: DType = DType::BF16;
}

impl Element for f16 {
    const DTYPE: DType = DType::F16;
}

impl Element for u8 {
    const DTYPE: DType = DType::U8;
}

impl Element for u32 {
    const DTYPE: DType = DType::U32;
}

impl Float for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }
}

impl Float for bf16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    // `bf16::from_f32` without its branches, so that loops over it vectorise.
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
        let quiet = bits | 0x0040_0000;
        bf16::from_bits((if value.is_nan() { quiet } else { rounded } >> 16) as u16)
    }
}

impl Float for f16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f16::to_f32(self)
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        f16::from_f32(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounds_as_half_does() {
        for upper in 0..=u16::MAX {
            for lower in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let value = f32::from_bits(u32::from(upper) << 16 | lower);
                let found = <bf16 as Float>::from_f32(value);
                assert_eq!(found.to_bits(), bf16::from_f32(value).to_bits(), "{value:e}");
            }
        }
    }
}
