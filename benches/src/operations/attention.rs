use nasrl_tensor::ops::{Attention, AttentionBackend, AttentionGradients, AttentionInputs};
use nasrl_tensor::{DType::F32, Result};
use nasrl_tests::Tolerance;

use super::is_f32;
use crate::case::{Agreement, Case, Setting, Work, calling};

/// A policy's last anchor: six layers and a single child, six and a priority queue of eight beside
/// it, twenty layers with the 35 units of the paper.
const ANCHORS: [Attention; 3] = [
    Attention { batch: 1, sources: 5, capacity: 6, units: 32 },
    Attention { batch: 9, sources: 5, capacity: 6, units: 32 },
    Attention { batch: 9, sources: 19, capacity: 20, units: 35 },
];

const SMALL: [Attention; 2] = [
    Attention { batch: 1, sources: 1, capacity: 1, units: 1 },
    Attention { batch: 3, sources: 4, capacity: 7, units: 5 },
];

/// Bound by a hyperbolic tangent an element of the keys, and for a context by reading the values.
pub(super) fn cases<B: AttentionBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let mut cases = Vec::new();
    if !is_f32(setting) {
        return Ok(cases);
    }
    for geometry in setting.pick(&SMALL, &ANCHORS) {
        let Attention { batch, sources, capacity, units } = geometry;
        let (keys, rows, weights) = (batch * capacity * units, batch * units, batch * sources);
        let touched = batch * sources * units;
        let shape = format!("{batch}x{sources}x{units}");
        let sum = Tolerance::sum(F32, 4 * units);
        let over_all = Tolerance::sum(F32, weights + units);
        let mut draw = setting.draw(3);
        cases.push(Case {
            pass: "scores".to_owned(),
            shape: shape.clone(),
            work: Work::bytes(4 * (touched + rows + units + weights)),
            agreement: Agreement::Close(sum),
            inputs: vec![
                draw.values(F32, keys)?,
                draw.values(F32, rows)?,
                draw.values(F32, units)?,
            ],
            outputs: vec![draw.zeros(F32, weights)?],
            call: calling::<B>(move |on, x, y| {
                let inputs = AttentionInputs { keys: &x[0], query: &x[1], v: &x[2] };
                on.attention_scores(&geometry, inputs, &mut y[0])
            }),
        });
        cases.push(Case {
            pass: "scores backward".to_owned(),
            shape: shape.clone(),
            work: Work::bytes(4 * (3 * touched + 3 * rows + 3 * units + weights)),
            agreement: Agreement::Close(over_all),
            inputs: vec![
                draw.values(F32, keys)?,
                draw.values(F32, rows)?,
                draw.values(F32, units)?,
                draw.values(F32, weights)?,
            ],
            outputs: vec![draw.zeros(F32, keys)?, draw.zeros(F32, rows)?, draw.zeros(F32, units)?],
            call: calling::<B>(move |on, x, y| {
                let inputs = AttentionInputs { keys: &x[0], query: &x[1], v: &x[2] };
                let [dkeys, dquery, dv] = y else { unreachable!("three outputs above") };
                let gradients = AttentionGradients { dkeys, dquery, dv };
                on.attention_scores_backward(&geometry, inputs, &x[3], gradients)
            }),
        });
        cases.push(Case {
            pass: "context".to_owned(),
            shape: shape.clone(),
            work: Work::bytes(4 * (touched + weights + rows)),
            agreement: Agreement::ExactOnIntegers(Tolerance::sum(F32, sources)),
            inputs: vec![draw.values(F32, weights)?, draw.values(F32, keys)?],
            outputs: vec![draw.zeros(F32, rows)?],
            call: calling::<B>(move |on, x, y| {
                on.attention_context(&geometry, &x[0], &x[1], &mut y[0])
            }),
        });
        cases.push(Case {
            pass: "context backward".to_owned(),
            shape,
            work: Work::bytes(4 * (2 * touched + weights + rows)),
            agreement: Agreement::ExactOnIntegers(Tolerance::rounding(F32)),
            inputs: vec![draw.values(F32, weights)?, draw.values(F32, rows)?],
            outputs: vec![draw.zeros(F32, keys)?],
            call: calling::<B>(move |on, x, y| {
                on.attention_context_backward(&geometry, &x[0], &x[1], &mut y[0])
            }),
        });
    }
    Ok(cases)
}
