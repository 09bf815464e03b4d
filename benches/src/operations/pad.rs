use nasrl_tensor::Result;
use nasrl_tensor::ops::{Pad2d, Pad2dBackend, Padding};

use super::extents;
use crate::case::{Agreement, Case, Setting, Work, calling};

/// Bound by memory: a read and a write of the images, and a write of their border.
pub(super) fn cases<B: Pad2dBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let (dtype, images) = (setting.dtype, setting.images(2));
    let around = Padding { top: 1, bottom: 1, left: 1, right: 1 };
    let uneven = Padding { top: 2, bottom: 0, left: 1, right: 3 };
    let mut cases = Vec::new();
    for (padding, [height, width, channels]) in setting.pick(
        &[(uneven, [3, 5, 7]), (uneven, [4, 4, 16]), (around, [1, 1, 1])],
        &[(around, [32, 32, 3]), (around, [16, 16, 64])],
    ) {
        let geometry = Pad2d { input: [height, width], channels, padding };
        let [padded_height, padded_width] = geometry.output();
        let inner = images * height * width * channels;
        let outer = images * padded_height * padded_width * channels;
        let shape = extents(&[images, height, width, channels]);
        let mut draw = setting.draw(20);
        cases.push(Case {
            pass: "fprop".to_owned(),
            shape: shape.clone(),
            work: Work::bytes((inner + outer) * dtype.size()),
            agreement: Agreement::Exact,
            inputs: vec![draw.values(dtype, inner)?],
            outputs: vec![draw.zeros(dtype, outer)?],
            call: calling::<B>(move |on, x, y| on.pad2d(&geometry, images, &x[0], &mut y[0])),
        });
        cases.push(Case {
            pass: "backward".to_owned(),
            shape,
            work: Work::bytes(2 * inner * dtype.size()),
            agreement: Agreement::Exact,
            inputs: vec![draw.values(dtype, outer)?],
            outputs: vec![draw.zeros(dtype, inner)?],
            call: calling::<B>(move |on, dy, dx| {
                on.pad2d_backward(&geometry, images, &dy[0], &mut dx[0])
            }),
        });
    }
    Ok(cases)
}
