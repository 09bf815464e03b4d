use nasrl_tensor::ops::{Embedding, EmbeddingBackend};
use nasrl_tensor::{DType::F32, Result};
use nasrl_tests::Tolerance;

use super::is_f32;
use crate::case::{Agreement, Case, Setting, Work, calling};

/// Indices, rows and width: a controller's step, and a batch of a language model.
const LOOK_UPS: [[usize; 3]; 2] = [[9, 18, 128], [700, 10_000, 650]];

/// Bound by memory: rows are read and written forward, read twice and written backward.
pub(super) fn cases<B: EmbeddingBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let mut cases = Vec::new();
    if !is_f32(setting) {
        return Ok(cases);
    }
    for [count, rows, width] in setting.pick(&[[1, 1, 1], [23, 5, 7], [40, 9, 64]], &LOOK_UPS) {
        let geometry = Embedding { count, width };
        let shape = format!("{count} of {rows}x{width}");
        let mut draw = setting.draw(14);
        cases.push(Case {
            pass: "fprop".to_owned(),
            shape: shape.clone(),
            work: Work::bytes(2 * 4 * count * width),
            agreement: Agreement::Exact,
            inputs: vec![draw.values(F32, rows * width)?, draw.indices(count, rows)?],
            outputs: vec![draw.zeros(F32, count * width)?],
            call: calling::<B>(move |on, x, y| on.embedding(&geometry, &x[0], &x[1], &mut y[0])),
        });
        cases.push(Case {
            pass: "backward".to_owned(),
            shape,
            work: Work::bytes(3 * 4 * count * width),
            agreement: Agreement::ExactOnIntegers(Tolerance::sum(F32, count)),
            inputs: vec![draw.indices(count, rows)?, draw.values(F32, count * width)?],
            outputs: vec![draw.zeros(F32, rows * width)?],
            call: calling::<B>(move |on, x, dtable| {
                on.embedding_backward(&geometry, &x[0], &x[1], &mut dtable[0])
            }),
        });
    }
    Ok(cases)
}
