use std::fmt;

use crate::{Error, Result};

/// An instruction set that the CPU backend has kernels for, in ascending order of speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust, vectorised by the compiler for the target's baseline.
    Portable,
    /// AVX2 and FMA, 8 lanes.
    Avx2,
    /// AVX-512 F, BW, DQ and VL, 16 lanes.
    Avx512,
    /// [`Isa::Avx512`] and the bf16 dot product.
    Avx512Bf16,
}

impl Isa {
    /// All that this processor has, slowest first.
    pub fn available() -> Vec<Isa> {
        [Isa::Portable, Isa::Avx2, Isa::Avx512, Isa::Avx512Bf16]
            .into_iter()
            .filter(|isa| isa.detected())
            .collect()
    }

    /// The fastest that this processor has.
    pub fn best() -> Isa {
        Self::available().pop().unwrap_or(Isa::Portable)
    }

    /// Whether this processor has it.
    ///
    /// # Errors
    /// [`Error::UnsupportedIsa`] if not.
    pub fn check(self) -> Result<()> {
        if self.detected() {
            return Ok(());
        }
        let available: Vec<_> = Self::available().iter().map(|isa| isa.name()).collect();
        Err(Error::UnsupportedIsa { isa: self.name(), available: available.join(", ") })
    }

    fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Avx512Bf16 => "avx512-bf16",
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn detected(self) -> bool {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match self {
            Isa::Portable => true,
            Isa::Avx2 => avx2,
            Isa::Avx512 => avx512,
            Isa::Avx512Bf16 => avx512 && is_x86_feature_detected!("avx512bf16"),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detected(self) -> bool {
        self == Isa::Portable
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
