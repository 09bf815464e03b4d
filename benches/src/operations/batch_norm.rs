use nasrl_tensor::ops::{Activation, BatchNorm, BatchNormBackend, Parts, Rows, Upstream};
use nasrl_tensor::{DType::F32, Result};
use nasrl_tests::Tolerance;

use super::{extents, maps};
use crate::case::{Agreement, Case, Setting, Work, calling};

/// Bound by memory: two reads and one write forward, four reads and one write backward.
pub(super) fn cases<B: BatchNormBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let dtype = setting.dtype;
    let mut cases = Vec::new();
    // One row has no deviation to compare.
    for map in maps(setting).into_iter().filter(|map| map[..3] != [1; 3]) {
        let channels = map[3];
        let rows = Rows { count: map[..3].iter().product(), channels };
        let len = rows.elements();
        let relu = Some(Activation::Relu);
        let norm = BatchNorm { activation: relu, ..BatchNorm::new(channels) };
        let (sum, each) = (Tolerance::sum(F32, rows.count), Tolerance::rounding(dtype));
        let mut draw = setting.draw(5);
        cases.push(Case {
            pass: "relu fprop".to_owned(),
            shape: extents(&map),
            work: Work::bytes(3 * len * dtype.size()),
            agreement: Agreement::Close(Tolerance {
                absolute: sum.absolute + each.absolute,
                relative: sum.relative + each.relative,
            }),
            inputs: vec![draw.values(dtype, len)?, draw.between([0.5, 1.5], 2 * channels)?],
            outputs: vec![
                draw.zeros(dtype, len)?,
                draw.zeros(F32, 3 * channels)?,
                draw.zeros(F32, 2 * channels)?,
                draw.zeros(F32, 4 * channels)?,
            ],
            call: calling::<B>(move |on, x, y| {
                let [y, moments, running, normalizer] = y else {
                    unreachable!("four outputs above")
                };
                on.batch_norm_moments(rows, &x[0], moments)?;
                let blocks = [Parts { count: 1, buffer: moments }];
                on.batch_norm_normalizer(&norm, &blocks, &x[1], running, normalizer)?;
                on.batch_norm_apply(relu, rows, &x[0], normalizer, y)
            }),
        });
        // A normalizer far from a mask's border for all values: shift above, mean and scale small.
        let normalizer = draw.between([0.5, 1.5], 4 * channels)?;
        cases.push(Case {
            pass: "backward".to_owned(),
            shape: extents(&map),
            work: Work::bytes(5 * len * dtype.size()),
            agreement: Agreement::Close(Tolerance {
                // Sums of products of values of up to 3, and their mean.
                absolute: 64.0 * sum.absolute * (rows.count as f64).sqrt() + 16.0 * each.absolute,
                relative: sum.relative + each.relative,
            }),
            inputs: vec![draw.values(dtype, len)?, draw.values(dtype, len)?, normalizer],
            outputs: vec![
                draw.zeros(dtype, len)?,
                draw.zeros(F32, 2 * channels)?,
                draw.zeros(F32, 2 * channels)?,
                draw.zeros(F32, 4 * channels)?,
            ],
            call: calling::<B>(move |on, x, y| {
                let [dx, sums, gradients, coefficients] = y else {
                    unreachable!("four outputs above")
                };
                let upstream = Upstream { activation: None, x: &x[0], dy: &x[1] };
                on.batch_norm_backward_sums(rows, &upstream, &x[2], sums)?;
                let sums = [Parts { count: 1, buffer: sums }];
                on.batch_norm_coefficients(rows, &sums, &x[2], gradients, coefficients)?;
                on.batch_norm_backward_apply(rows, &upstream, coefficients, dx)
            }),
        });
    }
    Ok(cases)
}
