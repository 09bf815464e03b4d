use nasrl_tensor::ops::{BernoulliBackend, PolicyWeights, RowDraw, Rows};
use nasrl_tensor::random::Key;
use nasrl_tensor::{DType, DType::F32, Result};
use nasrl_tests::Tolerance;

use super::{extents, is_f32};
use crate::case::{Agreement, Case, Setting, Work, calling};

/// Bound by an exponential a bit, and a logarithm to score it; at these sizes by the launch.
pub(super) fn cases<B: BernoulliBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let mut cases = Vec::new();
    if !is_f32(setting) {
        return Ok(cases);
    }
    for shape in setting.pick(&[[1, 1], [5, 3], [33, 40]], &[[1, 5], [9, 5], [9, 19]]) {
        let rows = Rows { count: shape[0], channels: shape[1] };
        let (len, chosen) = (rows.elements(), rows.elements());
        let row = RowDraw { key: Key::new(1, 0, "sample"), first: 0, step: 0 };
        let sum = Tolerance::sum(F32, 16 * rows.channels);
        let agreement = Agreement::Close(Tolerance { relative: 2e-6, ..sum });
        let mut draw = setting.draw(7);
        cases.push(Case {
            pass: "sample".to_owned(),
            shape: extents(&shape),
            work: Work::bytes(4 * (len + chosen)),
            agreement: Agreement::Exact,
            inputs: vec![draw.values(F32, len)?],
            outputs: vec![draw.zeros(DType::U32, chosen)?],
            call: calling::<B>(move |on, x, y| on.bernoulli_sample(rows, &x[0], row, &mut y[0])),
        });
        cases.push(Case {
            pass: "score".to_owned(),
            shape: extents(&shape),
            work: Work::bytes(4 * (len + chosen + 2 * rows.count)),
            agreement,
            inputs: vec![draw.values(F32, len)?, draw.indices(chosen, 2)?],
            outputs: vec![draw.zeros(F32, rows.count)?, draw.zeros(F32, rows.count)?],
            call: calling::<B>(move |on, x, y| {
                let [log_probability, entropy] = y else { unreachable!("two outputs above") };
                on.bernoulli_score(rows, &x[0], &x[1], log_probability, entropy)
            }),
        });
        cases.push(Case {
            pass: "backward".to_owned(),
            shape: extents(&shape),
            work: Work::bytes(4 * (2 * len + chosen + 2 * rows.count)),
            agreement,
            inputs: vec![
                draw.values(F32, len)?,
                draw.indices(chosen, 2)?,
                draw.between([-1.0, 1.0], rows.count)?,
                draw.between([-1.0, 1.0], rows.count)?,
            ],
            outputs: vec![draw.zeros(F32, len)?],
            call: calling::<B>(move |on, x, y| {
                let weights = PolicyWeights { log_probability: &x[2], entropy: &x[3] };
                on.bernoulli_backward(rows, &x[0], &x[1], weights, &mut y[0])
            }),
        });
    }
    Ok(cases)
}
