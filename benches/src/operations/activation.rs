use nasrl_tensor::Result;
use nasrl_tensor::ops::{Activation, ActivationBackend};
use nasrl_tests::Tolerance;

use super::{extents, maps};
use crate::case::{Agreement, Case, Setting, Work, calling};

/// Bound by memory: one read and one write forward, two reads and one write backward.
pub(super) fn cases<B: ActivationBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let dtype = setting.dtype;
    let mut cases = Vec::new();
    for map in maps(setting) {
        let len = map.iter().product();
        for f in [Activation::Relu, Activation::Tanh, Activation::Sigmoid] {
            let mut draw = setting.draw(1);
            let agreement = match f {
                Activation::Relu => Agreement::Exact,
                _ => Agreement::Close(Tolerance::rounding(dtype)),
            };
            cases.push(Case {
                pass: format!("{f} fprop"),
                shape: extents(&map),
                work: Work::bytes(2 * len * dtype.size()),
                agreement,
                inputs: vec![draw.values(dtype, len)?],
                outputs: vec![draw.zeros(dtype, len)?],
                call: calling::<B>(move |on, x, y| on.activation(f, len, &x[0], &mut y[0])),
            });
            cases.push(Case {
                pass: format!("{f} backward"),
                shape: extents(&map),
                work: Work::bytes(3 * len * dtype.size()),
                agreement,
                inputs: vec![draw.values(dtype, len)?, draw.values(dtype, len)?],
                outputs: vec![draw.zeros(dtype, len)?],
                call: calling::<B>(move |on, x, dx| {
                    on.activation_backward(f, len, &x[0], &x[1], &mut dx[0])
                }),
            });
        }
    }
    Ok(cases)
}
