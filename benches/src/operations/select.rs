use nasrl_tensor::ops::{SelectBackend, Selected, Selection};
use nasrl_tensor::{DType, Result};

use super::is_f32;
use crate::case::{Agreement, Case, Setting, Work, calling};

/// Bound by the latency of two loads that follow one another.
pub(super) fn cases<B: SelectBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let mut cases = Vec::new();
    if !is_f32(setting) {
        return Ok(cases);
    }
    let images = setting.images(7);
    for dataset in setting.pick(&[7, 100], &[45_000]) {
        let mut draw = setting.draw(21);
        cases.push(Case {
            pass: "batch".to_owned(),
            shape: format!("{images} of {dataset}"),
            work: Work::bytes(4 * 4 * images),
            agreement: Agreement::Exact,
            inputs: vec![draw.indices(images, dataset)?, draw.indices(dataset, 10)?],
            outputs: vec![
                draw.zeros(DType::U32, 2)?,
                draw.zeros(DType::U32, images)?,
                draw.zeros(DType::U32, images)?,
            ],
            call: calling::<B>(move |on, x, y| {
                let [clock, indices, labels] = y else { unreachable!("three outputs above") };
                // Every batch begins at the first image, however often the clock advances.
                let (order, of_images) = (&x[0], &x[1]);
                let selection = Selection { order, labels: of_images, stride: 0, count: images };
                on.select(&selection, Selected { clock, indices, labels })
            }),
        });
    }
    Ok(cases)
}
