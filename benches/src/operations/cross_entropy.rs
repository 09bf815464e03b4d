use nasrl_tensor::ops::{CrossEntropy, CrossEntropyBackend, CrossEntropyInputs, Rows, Sum};
use nasrl_tensor::{DType::F32, Result};
use nasrl_tests::Tolerance;

use super::{extents, is_f32};
use crate::case::{Agreement, Case, Setting, Work, calling};

/// Bound by memory on a GPU and by the exponentials on a processor: one an element for the loss,
/// two with the gradient.
pub(super) fn cases<B: CrossEntropyBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let mut cases = Vec::new();
    if !is_f32(setting) {
        return Ok(cases);
    }
    let images = setting.images(0);
    for shape in setting.pick(&[[1, 1], [5, 7], [37, 65]], &[[images, 10], [700, 10_000]]) {
        let rows = Rows { count: shape[0], channels: shape[1] };
        let len = rows.elements();
        let geometry = CrossEntropy { rows, divisor: rows.count as f32, sum: Sum::Store };
        let agreement = Agreement::Close(Tolerance {
            // The sum of all rows' losses, each rounded.
            relative: 1e-5,
            ..Tolerance::sum(F32, rows.count + rows.channels)
        });
        let mut draw = setting.draw(12);
        let mut inputs = || {
            Ok::<_, nasrl_tensor::Error>(vec![
                draw.values(F32, len)?,
                draw.indices(rows.count, rows.channels)?,
            ])
        };
        cases.push(Case {
            pass: "loss".to_owned(),
            shape: extents(&shape),
            work: Work::bytes(4 * (len + rows.count)),
            agreement,
            inputs: inputs()?,
            outputs: vec![setting.on.zeros(F32, 2)?],
            call: calling::<B>(move |on, x, y| on.cross_entropy(&geometry, judged(x), &mut y[0])),
        });
        cases.push(Case {
            pass: "loss and gradient".to_owned(),
            shape: extents(&shape),
            work: Work::bytes(4 * (2 * len + rows.count)),
            agreement,
            inputs: inputs()?,
            outputs: vec![setting.on.zeros(F32, 2)?, setting.on.zeros(F32, len)?],
            call: calling::<B>(move |on, x, y| {
                let [sums, dlogits] = y else { unreachable!("two outputs above") };
                on.cross_entropy_with_gradient(&geometry, judged(x), sums, dlogits)
            }),
        });
    }
    Ok(cases)
}

fn judged<T>(inputs: &[T]) -> CrossEntropyInputs<'_, T> {
    CrossEntropyInputs { logits: &inputs[0], labels: &inputs[1], clock: None }
}
