use nasrl_tensor::Result;
use nasrl_tensor::ops::{Dropout, DropoutBackend};
use nasrl_tensor::random::Key;

use super::{extents, maps};
use crate::case::{Agreement, Case, Setting, Work, calling};

/// Bound by memory on a GPU, on a processor by the arithmetic of Philox.
pub(super) fn cases<B: DropoutBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let dtype = setting.dtype;
    let at = Dropout { rate: 0.5, key: Key::new(1, 2, "dropout"), step: 3, offset: 0 };
    let mut cases = Vec::new();
    for map in maps(setting) {
        let len = map.iter().product();
        let mut draw = setting.draw(13);
        cases.push(Case {
            pass: "fprop".to_owned(),
            shape: extents(&map),
            work: Work::bytes(2 * len * dtype.size()),
            // The scale is 2.
            agreement: Agreement::Exact,
            inputs: vec![draw.values(dtype, len)?],
            outputs: vec![draw.zeros(dtype, len)?],
            call: calling::<B>(move |on, x, y| on.dropout(&at, None, len, &x[0], &mut y[0])),
        });
    }
    Ok(cases)
}
