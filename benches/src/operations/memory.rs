use nasrl_tensor::{DType::F32, Memory, Result};

use super::{extents, maps};
use crate::case::{Agreement, Case, Setting, Work, calling};

/// Bound by memory: one read and one write, or one write.
pub(super) fn cases<B: Memory>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let dtype = setting.dtype;
    let mut cases = Vec::new();
    for map in maps(setting) {
        let len = map.iter().product();
        let mut draw = setting.draw(18);
        cases.push(Case {
            pass: "copy".to_owned(),
            shape: extents(&map),
            work: Work::bytes(2 * len * dtype.size()),
            agreement: Agreement::Exact,
            inputs: vec![draw.values(dtype, len)?],
            outputs: vec![draw.zeros(dtype, len)?],
            call: calling::<B>(move |on, x, y| on.copy(len, &x[0], &mut y[0])),
        });
        cases.push(Case {
            pass: "cast from f32".to_owned(),
            shape: extents(&map),
            work: Work::bytes((4 + dtype.size()) * len),
            agreement: Agreement::Exact,
            inputs: vec![draw.values(F32, len)?],
            outputs: vec![draw.zeros(dtype, len)?],
            call: calling::<B>(move |on, x, y| on.cast(len, &x[0], &mut y[0])),
        });
        cases.push(Case {
            pass: "clear".to_owned(),
            shape: extents(&map),
            work: Work::bytes(len * dtype.size()),
            agreement: Agreement::Exact,
            inputs: vec![],
            outputs: vec![draw.values(dtype, len)?],
            call: calling::<B>(move |on, _, y| on.clear(len, &mut y[0])),
        });
    }
    Ok(cases)
}
