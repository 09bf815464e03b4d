use nasrl_tensor::ops::ClipBackend;
use nasrl_tensor::{DType::F32, Result};
use nasrl_tests::Tolerance;

use super::is_f32;
use crate::case::{Agreement, Case, Setting, Work, calling};

/// A child of the reference space with 64 filters in every layer has 113,000 parameters, one of
/// `nas-rl-cnn` 1.55 million.
const PARAMETERS: [usize; 2] = [113_000, 1_550_000];

/// Bound by memory: gradients that are short enough are read, the others read twice and written.
pub(super) fn cases<B: ClipBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let mut cases = Vec::new();
    if !is_f32(setting) {
        return Ok(cases);
    }
    for len in setting.pick(&[1, 5_003], &PARAMETERS) {
        let mut draw = setting.draw(9);
        cases.push(Case {
            pass: "short".to_owned(),
            shape: len.to_string(),
            work: Work::bytes(4 * len),
            agreement: Agreement::Exact,
            inputs: vec![],
            outputs: vec![draw.values(F32, len)?],
            call: calling::<B>(move |on, _, y| on.clip_global_norm(1e6, &mut [(len, &mut y[0])])),
        });
        // Every call has to scale: the next bound is below the norm that the last one left.
        let mut most = 0.5;
        cases.push(Case {
            pass: "long".to_owned(),
            shape: len.to_string(),
            work: Work::bytes(3 * 4 * len),
            agreement: Agreement::Close(Tolerance::sum(F32, 1)),
            inputs: vec![],
            outputs: vec![draw.values(F32, len)?],
            call: calling::<B>(move |on, _, y| {
                most *= 0.999_99;
                on.clip_global_norm(most, &mut [(len, &mut y[0])])
            }),
        });
    }
    Ok(cases)
}
