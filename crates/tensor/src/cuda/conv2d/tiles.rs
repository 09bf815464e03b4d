//! Tiles that the caller chooses.

use std::ops::RangeInclusive;

use super::window::{OP, check};
use super::{Conv2dPlan, Gemm};
use crate::cuda::Cuda;
use crate::ops::{Connection, Conv2d};
use crate::{DType, Error, Result};

/// How the passes of a convolution on tensor cores are cut into tiles. What is `None` is chosen by
/// the geometry alone; sums of other tiles may come in another order, and so round otherwise.
///
/// [`Conv2dPlan::tiles`] says what was chosen, from where one may look for what is faster on a GPU at
/// hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conv2dTiles {
    /// Of the forward pass.
    pub fprop: GatherTiles,
    /// Of the gradient of the input, whose results have the channels of the input.
    pub dgrad: GatherTiles,
    /// Of the gradient of the filters.
    pub wgrad: WgradTiles,
}

/// The tiles of `kernels/conv2d_gather.cu`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GatherTiles {
    /// Channels of the results of a block of threads: 16, 24, 32, 40, 48 or 64.
    pub filters: Option<usize>,
    /// Positions of a block of threads at most: 1 to 256, and to 64 if its warps are
    /// [`Together`](Warps::Together).
    pub positions: Option<usize>,
    /// Channels of the input that shared memory has at once: a multiple of 8, up to 64.
    pub channels: Option<usize>,
    /// What the warps of a block share.
    pub warps: Option<Warps>,
    /// Bytes of shared memory of a block at most: the fewer, the more blocks run side by side.
    pub shared: Option<usize>,
}

/// How the four warps of a block of threads share a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Warps {
    /// Each has 64 positions of its own.
    Apart,
    /// All have the same 64 positions, and each a quarter of the products, which are then added up:
    /// for small maps, which would make few blocks.
    Together,
}

/// The tiles of `kernels/conv2d_wgrad.cu`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WgradTiles {
    /// Filters of a block of threads: 32, 48 or 64.
    pub filters: Option<usize>,
    /// Columns of a warp, each a tap of eight channels: 3 or 9.
    pub columns: Option<usize>,
    /// Positions of a tile at most: 1 to 256.
    pub positions: Option<usize>,
    /// Blocks of threads that the slices of a batch are to make together: 1 to 65,536.
    pub blocks: Option<usize>,
    /// Bytes of shared memory of a block at most.
    pub shared: Option<usize>,
}

impl Cuda {
    /// A plan for a full convolution of bf16 or f16 on tensor cores, in tiles of one's own choice.
    ///
    /// # Errors
    /// [`Error::DType`] for another type; [`Error::Parameter`] for a depthwise convolution, for tiles
    /// that no kernel comes for or that do not fit in shared memory, or for extents that 31 bits do not
    /// count; [`Error::OutOfMemory`], or [`Error::Cuda`].
    pub fn conv2d_plan_in_tiles(
        &self,
        geometry: &Conv2d,
        dtype: DType,
        tiles: &Conv2dTiles,
    ) -> Result<Conv2dPlan> {
        check(geometry)?;
        tiles.check()?;
        if !matches!(dtype, DType::BF16 | DType::F16) {
            return Err(Error::DType { op: OP, found: dtype, expected: "bf16 or f16" });
        }
        let refused = |name, value, rule| Error::Parameter { op: OP, name, value, rule };
        if geometry.connection == Connection::Depthwise {
            let value = format!("{:?}", geometry.connection);
            return Err(refused("the connection", value, "full for tiles of one's own choice"));
        }
        let gemm = Gemm::on_tensor_cores(geometry, tiles).ok_or_else(|| {
            let rule = "such that what a tile needs fits in shared memory";
            refused("the choice of tiles", format!("{tiles:?}"), rule)
        })?;
        self.plan(geometry, dtype, Some(gemm))
    }
}

impl Conv2dPlan {
    /// The tiles of the passes, with nothing left open; `None` if they do not run on tensor cores.
    pub fn tiles(&self) -> Option<Conv2dTiles> {
        let (gemm, _) = self.on_tensor_cores()?;
        let (fprop, dgrad) = (gemm.fprop.tiles()?, gemm.dgrad.tiles()?);
        Some(Conv2dTiles { fprop, dgrad, wgrad: gemm.wgrad.tiles()? })
    }
}

/// Most positions of a tile.
pub(super) const POSITIONS: usize = 256;

/// Most positions of a tile that warps share.
pub(super) const TOGETHER: usize = 64;

impl Conv2dTiles {
    /// Whether kernels come for what is chosen.
    fn check(&self) -> Result<()> {
        self.fprop.check()?;
        self.dgrad.check()?;
        self.wgrad.check()
    }
}

impl GatherTiles {
    fn check(&self) -> Result<()> {
        let positions = match self.warps {
            Some(Warps::Together) => 1..=TOGETHER,
            _ => 1..=POSITIONS,
        };
        one_of(
            "tiles.filters",
            self.filters,
            &[16, 24, 32, 40, 48, 64],
            "16, 24, 32, 40, 48 or 64",
        )?;
        within("tiles.positions", self.positions, positions, "1 to 256, to 64 of warps together")?;
        let eights = [8, 16, 24, 32, 40, 48, 56, 64];
        one_of("tiles.channels", self.channels, &eights, "a multiple of 8 up to 64")
    }
}

impl WgradTiles {
    fn check(&self) -> Result<()> {
        one_of("tiles.filters", self.filters, &[32, 48, 64], "32, 48 or 64")?;
        one_of("tiles.columns", self.columns, &[3, 9], "3 or 9")?;
        within("tiles.positions", self.positions, 1..=POSITIONS, "1 to 256")?;
        within("tiles.blocks", self.blocks, 1..=1 << 16, "1 to 65,536")
    }
}

fn one_of(
    name: &'static str,
    chosen: Option<usize>,
    of: &[usize],
    rule: &'static str,
) -> Result<()> {
    admitted(name, chosen, |value| of.contains(&value), rule)
}

fn within(
    name: &'static str,
    chosen: Option<usize>,
    range: RangeInclusive<usize>,
    rule: &'static str,
) -> Result<()> {
    admitted(name, chosen, |value| range.contains(&value), rule)
}

fn admitted(
    name: &'static str,
    chosen: Option<usize>,
    is_right: impl Fn(usize) -> bool,
    rule: &'static str,
) -> Result<()> {
    match chosen.filter(|&value| !is_right(value)) {
        None => Ok(()),
        Some(value) => Err(Error::Parameter { op: OP, name, value: value.to_string(), rule }),
    }
}
