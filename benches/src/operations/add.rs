use nasrl_tensor::Result;
use nasrl_tensor::ops::AddBackend;

use super::{extents, maps};
use crate::case::{Agreement, Case, Setting, Work, calling};

/// Bound by memory: two reads and one write.
pub(super) fn cases<B: AddBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let dtype = setting.dtype;
    let mut cases = Vec::new();
    for map in maps(setting) {
        let len = map.iter().product();
        let mut draw = setting.draw(2);
        cases.push(Case {
            pass: "fprop".to_owned(),
            shape: extents(&map),
            work: Work::bytes(3 * len * dtype.size()),
            agreement: Agreement::Exact,
            inputs: vec![draw.values(dtype, len)?, draw.values(dtype, len)?],
            outputs: vec![draw.zeros(dtype, len)?],
            call: calling::<B>(move |on, x, y| on.add(len, &x[0], &x[1], &mut y[0])),
        });
        cases.push(Case {
            pass: "in place".to_owned(),
            shape: extents(&map),
            work: Work::bytes(3 * len * dtype.size()),
            agreement: Agreement::Exact,
            inputs: vec![draw.values(dtype, len)?],
            outputs: vec![draw.values(dtype, len)?],
            call: calling::<B>(move |on, x, y| on.add_assign(len, &x[0], &mut y[0])),
        });
    }
    Ok(cases)
}
