use nasrl_tensor::ops::{Rows, SoftmaxBackend};
use nasrl_tensor::{DType::F32, Memory, Result};
use nasrl_tests::Tolerance;

use super::extents;
use crate::case::{Agreement, Case, Setting, Work, calling};

/// Bound by memory on a GPU; on a processor by the exponentials, two an element forward.
pub(super) fn cases<B: SoftmaxBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let dtype = setting.dtype;
    let images = setting.images(0);
    let mut cases = Vec::new();
    for shape in setting.pick(&[[1, 1], [7, 13], [5, 1_030]], &[[images, 10], [700, 10_000]]) {
        let rows = Rows { count: shape[0], channels: shape[1] };
        let len = rows.elements();
        let (sum, each) = (Tolerance::sum(F32, rows.channels), Tolerance::rounding(dtype));
        // A logarithm is a difference of values of up to 10 here.
        let agreement = Agreement::Close(Tolerance {
            absolute: 4.0 * sum.absolute + 10.0 * Tolerance::rounding(F32).absolute + each.absolute,
            relative: sum.relative + each.relative,
        });
        let mut draw = setting.draw(22);
        type Forward<B> =
            fn(&B, Rows, &<B as Memory>::Buffer, &mut <B as Memory>::Buffer) -> Result<()>;
        let forward: [(&str, Forward<B>); 2] =
            [("fprop", B::softmax), ("log fprop", B::log_softmax)];
        for (pass, call) in forward {
            cases.push(Case {
                pass: pass.to_owned(),
                shape: extents(&shape),
                work: Work::bytes(2 * len * dtype.size()),
                agreement,
                inputs: vec![draw.values(dtype, len)?],
                outputs: vec![draw.zeros(dtype, len)?],
                call: calling::<B>(move |on, x, y| call(on, rows, &x[0], &mut y[0])),
            });
        }
        // What a gradient is taken at need not be a distribution for these formulas, but its sum
        // over a row must not be large.
        for pass in ["backward", "log backward"] {
            let log = pass == "log backward";
            cases.push(Case {
                pass: pass.to_owned(),
                shape: extents(&shape),
                work: Work::bytes(3 * len * dtype.size()),
                agreement: Agreement::Close(Tolerance {
                    absolute: 16.0 * (rows.channels as f64).sqrt() * sum.absolute + each.absolute,
                    relative: sum.relative + each.relative,
                }),
                inputs: vec![draw.values(dtype, len)?, draw.values(dtype, len)?],
                outputs: vec![draw.zeros(dtype, len)?],
                call: calling::<B>(move |on, x, dx| match log {
                    false => on.softmax_backward(rows, &x[0], &x[1], &mut dx[0]),
                    true => on.log_softmax_backward(rows, &x[0], &x[1], &mut dx[0]),
                }),
            });
        }
    }
    Ok(cases)
}
