use nasrl_tensor::ops::{GlobalAveragePool, GlobalAveragePoolBackend};
use nasrl_tensor::{DType::F32, Result};
use nasrl_tests::Tolerance;

use super::extents;
use crate::case::{Agreement, Case, Setting, Work, calling};

/// Bound by memory: one read of the maps forward, one write backward.
pub(super) fn cases<B: GlobalAveragePoolBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let dtype = setting.dtype;
    let images = setting.images(3);
    let mut cases = Vec::new();
    for [height, width, channels] in
        setting.pick(&[[1, 1, 1], [3, 5, 7], [8, 8, 24]], &[[8, 8, 32], [8, 8, 64], [32, 32, 48]])
    {
        let geometry = GlobalAveragePool { images, pixels: height * width, channels };
        let (len, means) = (images * height * width * channels, images * channels);
        let shape = extents(&[images, height, width, channels]);
        let mut draw = setting.draw(15);
        cases.push(Case {
            pass: "fprop".to_owned(),
            shape: shape.clone(),
            work: Work::bytes(len * dtype.size() + 4 * means),
            agreement: Agreement::Close(Tolerance::sum(F32, geometry.pixels)),
            inputs: vec![draw.values(dtype, len)?],
            outputs: vec![draw.zeros(F32, means)?],
            call: calling::<B>(move |on, x, y| on.global_average_pool(&geometry, &x[0], &mut y[0])),
        });
        cases.push(Case {
            pass: "backward".to_owned(),
            shape,
            work: Work::bytes(len * dtype.size() + 4 * means),
            agreement: Agreement::Close(Tolerance::rounding(dtype)),
            inputs: vec![draw.values(F32, means)?],
            outputs: vec![draw.zeros(dtype, len)?],
            call: calling::<B>(move |on, dy, dx| {
                on.global_average_pool_backward(&geometry, &dy[0], None, &mut dx[0])
            }),
        });
    }
    Ok(cases)
}
