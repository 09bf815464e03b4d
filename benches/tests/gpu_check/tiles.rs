//! Convolutions in tiles of one's own choice.

use nasrl_benches::gpu_check::{Block, TileSizes, tiles};
use nasrl_tensor::cuda::{Conv2dTiles, GatherTiles, Warps, WgradTiles};
use nasrl_tensor::ops::{Connection, Conv2d};
use nasrl_tensor::{DType, Error};
use nasrl_tests::emulated;
use serde_json::Value;

use crate::{SAMPLING, number, run};

pub(crate) fn small() -> TileSizes {
    TileSizes {
        layers: vec![layer()],
        images: 3,
        dtype: DType::BF16,
        gathers: vec![
            gather(16, Warps::Together, [32, 16]),
            gather(32, Warps::Apart, [256, 8]),
            gather(64, Warps::Apart, [64, 24]),
            // The forward pass has these by itself.
            gather(24, Warps::Together, [64, 16]),
        ],
        wgrads: vec![wgrad(32, 3, [64, 132]), wgrad(64, 9, [256, 528])],
        shared: 80 << 10,
        sampling: SAMPLING,
    }
}

fn layer() -> Conv2d {
    Conv2d::new([8, 8], 16, 24, [3, 3]).same()
}

fn gather(filters: usize, warps: Warps, [positions, channels]: [usize; 2]) -> GatherTiles {
    let [filters, positions, channels] = [filters, positions, channels].map(Some);
    GatherTiles { filters, positions, channels, warps: Some(warps), shared: None }
}

fn wgrad(filters: usize, columns: usize, [positions, blocks]: [usize; 2]) -> WgradTiles {
    let [filters, columns, positions, blocks] = [filters, columns, positions, blocks].map(Some);
    WgradTiles { filters, columns, positions, blocks, shared: None }
}

#[test]
fn all_tiles_give_the_same_and_the_fastest_are_told() {
    let Some((failures, lines)) = run(Block::Tiles, |check| tiles(check).unwrap()) else { return };
    assert_eq!(failures, 0, "{lines:#?}");
    for (pass, tried) in [("fprop", 4), ("dgrad", 5), ("wgrad", 3)] {
        let of: Vec<_> = lines.iter().filter(|line| line["pass"] == pass).collect();
        let (best, each) = of.split_last().unwrap();
        assert_eq!((each.len(), number(best, "tried")), (tried, tried as f64), "{of:#?}");
        let us = |line: &Value| number(&line["timing"], "median_us");
        assert!(each.iter().enumerate().all(|(place, line)| line["default"] == (place == 0)));
        assert!(each.iter().all(|line| line["agree"] == true), "{of:#?}");
        let fastest = each.iter().map(|line| us(line)).fold(f64::INFINITY, f64::min);
        assert_eq!(number(best, "best_us"), fastest);
        assert!((number(best, "gain") / (us(each[0]) / fastest) - 1.0).abs() < 1e-12, "{best}");
    }
}

#[test]
fn tiles_are_what_was_chosen_or_an_error() {
    let Some(cuda) = emulated().pop() else { return };
    let plan = |geometry: Conv2d, dtype, tiles| cuda.conv2d_plan_in_tiles(&geometry, dtype, &tiles);
    let open = Conv2dTiles::default();
    let mut geometries = vec![layer(), Conv2d { stride: [2, 2], ..layer() }];
    geometries.push(Conv2d::new([32, 32], 152, 36, [3, 5]).same());
    for geometry in geometries {
        let by_default = plan(geometry, DType::BF16, open).unwrap().tiles().unwrap();
        let again = plan(geometry, DType::BF16, by_default).unwrap().tiles();
        assert_eq!(again, Some(by_default), "{geometry:?}");
    }
    let chosen = Conv2dTiles {
        fprop: gather(64, Warps::Apart, [128, 8]),
        dgrad: gather(32, Warps::Together, [16, 24]),
        wgrad: wgrad(48, 9, [32, 528]),
    };
    let mut found = plan(layer(), DType::F16, chosen).unwrap().tiles().unwrap();
    for shared in [&mut found.fprop.shared, &mut found.dgrad.shared, &mut found.wgrad.shared] {
        assert!(shared.take().is_some_and(|bytes| bytes > 1_000));
    }
    assert_eq!(found, chosen);

    let fprop = |fprop| Conv2dTiles { fprop, ..open };
    let depthwise = Conv2d { connection: Connection::Depthwise, filters: 16, ..layer() };
    for (geometry, dtype, tiles) in [
        (layer(), DType::BF16, fprop(gather(56, Warps::Apart, [64, 8]))),
        (layer(), DType::BF16, fprop(gather(16, Warps::Together, [65, 8]))),
        (layer(), DType::BF16, fprop(gather(16, Warps::Apart, [257, 8]))),
        (layer(), DType::BF16, fprop(gather(16, Warps::Apart, [64, 12]))),
        (layer(), DType::BF16, fprop(GatherTiles { shared: Some(1_000), ..open.fprop })),
        (layer(), DType::BF16, Conv2dTiles { wgrad: wgrad(16, 3, [64, 1]), ..open }),
        (layer(), DType::BF16, Conv2dTiles { wgrad: wgrad(32, 4, [64, 1]), ..open }),
        (layer(), DType::BF16, Conv2dTiles { wgrad: wgrad(32, 3, [64, 0]), ..open }),
        (depthwise, DType::BF16, open),
    ] {
        let error = plan(geometry, dtype, tiles).err();
        assert!(matches!(error, Some(Error::Parameter { .. })), "{error:?} for {tiles:?}");
    }
    let error = plan(layer(), DType::F32, open).err();
    assert!(matches!(error, Some(Error::DType { found: DType::F32, .. })), "{error:?}");
}
