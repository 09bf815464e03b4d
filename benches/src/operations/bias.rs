use nasrl_tensor::ops::{Activation, BiasBackend, Rows, Sum};
use nasrl_tensor::{DType::F32, Result};
use nasrl_tests::Tolerance;

use super::{extents, maps};
use crate::case::{Agreement, Case, Setting, Work, calling};

/// Bound by memory: one read and one write forward, one read backward.
pub(super) fn cases<B: BiasBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let dtype = setting.dtype;
    let mut cases = Vec::new();
    for map in maps(setting) {
        let rows = Rows { count: map[..3].iter().product(), channels: map[3] };
        let len = rows.elements();
        let mut draw = setting.draw(6);
        cases.push(Case {
            pass: "relu fprop".to_owned(),
            shape: extents(&map),
            work: Work::bytes(2 * len * dtype.size()),
            agreement: Agreement::Exact,
            inputs: vec![draw.values(dtype, len)?, draw.values(F32, rows.channels)?],
            outputs: vec![draw.zeros(dtype, len)?],
            call: calling::<B>(move |on, x, y| {
                on.bias(rows, &x[0], &x[1], Some(Activation::Relu), &mut y[0])
            }),
        });
        cases.push(Case {
            pass: "backward".to_owned(),
            shape: extents(&map),
            work: Work::bytes(len * dtype.size()),
            agreement: Agreement::ExactOnIntegers(Tolerance::sum(F32, rows.count)),
            inputs: vec![draw.values(dtype, len)?],
            outputs: vec![draw.zeros(F32, rows.channels)?],
            call: calling::<B>(move |on, x, y| {
                on.bias_backward(rows, &x[0], Sum::Store, &mut y[0])
            }),
        });
    }
    Ok(cases)
}
