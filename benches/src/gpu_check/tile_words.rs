//! Tiles in words, and those that are worth trying.

use nasrl_tensor::cuda::{Conv2dTiles, GatherTiles, Warps, WgradTiles};
use serde::Serialize;

use super::layer::Pass;

/// The tiles of a pass as a line has them, see [`GatherTiles`] and [`WgradTiles`].
#[derive(Clone, Copy, Serialize)]
pub(super) struct TileWords {
    filters: Option<usize>,
    positions: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warps: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<usize>,
    shared: Option<usize>,
}

impl TileWords {
    /// Those of a pass.
    pub(super) fn of(tiles: Conv2dTiles, pass: Pass) -> Self {
        let gather = |GatherTiles { filters, positions, channels, warps, shared }| {
            let warps = warps.map(|warps| match warps {
                Warps::Apart => "apart",
                Warps::Together => "together",
            });
            TileWords { filters, positions, channels, warps, columns: None, blocks: None, shared }
        };
        match pass {
            Pass::Fprop => gather(tiles.fprop),
            Pass::Dgrad => gather(tiles.dgrad),
            Pass::Wgrad => {
                let WgradTiles { filters, columns, positions, blocks, shared } = tiles.wgrad;
                let (channels, warps) = (None, None);
                TileWords { filters, positions, channels, warps, columns, blocks, shared }
            }
        }
    }
}

/// Every kernel of a gather with three heights of a tile and three depths of a halo.
pub(super) fn gathers() -> Vec<GatherTiles> {
    let mut all = Vec::new();
    for filters in [64, 48, 40, 32, 24, 16] {
        for (warps, positions) in [
            (Warps::Apart, 256),
            (Warps::Apart, 128),
            (Warps::Apart, 64),
            (Warps::Together, 64),
            (Warps::Together, 32),
        ] {
            for channels in [64, 32, 16] {
                let [filters, positions, channels] = [filters, positions, channels].map(Some);
                let warps = Some(warps);
                all.push(GatherTiles { filters, positions, channels, warps, shared: None });
            }
        }
    }
    all
}

/// Every kernel of the gradient of the filters, with three heights of a tile and from half to twice
/// as many blocks as a large GPU has multiprocessors at once.
pub(super) fn wgrads() -> Vec<WgradTiles> {
    let mut all = Vec::new();
    for filters in [64, 48, 32] {
        for columns in [9, 3] {
            for positions in [256, 128, 64] {
                for blocks in [132, 264, 528] {
                    let [filters, columns] = [filters, columns].map(Some);
                    let [positions, blocks] = [positions, blocks].map(Some);
                    all.push(WgradTiles { filters, columns, positions, blocks, shared: None });
                }
            }
        }
    }
    all
}
