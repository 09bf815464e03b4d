use nasrl_tensor::ops::{
    LstmCell, LstmCellBackend, LstmGradientInputs, LstmGradients, LstmInputs, LstmOutputs,
};
use nasrl_tensor::{DType::F32, Result};
use nasrl_tests::Tolerance;

use super::is_f32;
use crate::case::{Agreement, Case, Setting, Work, calling};

/// Sequences side by side and units: a policy that samples, one that learns from a priority queue
/// of eight beside it, the same with the 35 units of the paper, and a large controller.
const STEPS: [[usize; 2]; 4] = [[1, 32], [9, 32], [9, 35], [20, 100]];

/// Bound by the product with the recurrent weights, `8 batch units^2` operations either way; at
/// batch 1 by reading them, and on a GPU by the launch.
pub(super) fn cases<B: LstmCellBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let mut cases = Vec::new();
    if !is_f32(setting) {
        return Ok(cases);
    }
    for [batch, units] in setting.pick(&[[1, 1], [3, 5], [9, 35]], &STEPS) {
        let geometry = LstmCell { batch, units };
        let (state, matrix) = (batch * units, 4 * units * units);
        let work = Work {
            flops: (8 * batch * units * units) as u64,
            bytes: (4 * (matrix + 12 * state)) as u64,
        };
        let shape = format!("{batch}x{units}");
        let mut draw = setting.draw(16);
        cases.push(Case {
            pass: "fprop".to_owned(),
            shape: shape.clone(),
            work,
            agreement: Agreement::Close(Tolerance::sum(F32, 4 * units)),
            inputs: vec![
                draw.values(F32, 4 * state)?,
                draw.values(F32, state)?,
                draw.values(F32, state)?,
                draw.values(F32, matrix)?,
            ],
            outputs: vec![
                draw.zeros(F32, 4 * state)?,
                draw.zeros(F32, state)?,
                draw.zeros(F32, state)?,
            ],
            call: calling::<B>(move |on, x, y| {
                let inputs = LstmInputs { projection: &x[0], h: &x[1], c: &x[2], recurrent: &x[3] };
                let [gates, h, c] = y else { unreachable!("three outputs above") };
                on.lstm_cell(&geometry, inputs, LstmOutputs { gates, h, c })
            }),
        });
        cases.push(Case {
            pass: "backward".to_owned(),
            shape,
            work,
            agreement: Agreement::Close(Tolerance::sum(F32, 64 * units)),
            inputs: vec![
                draw.values(F32, state)?,
                // As gates are, between 0 and 1.
                draw.between([0.1, 0.9], 4 * state)?,
                draw.values(F32, state)?,
                draw.values(F32, state)?,
                draw.values(F32, matrix)?,
            ],
            outputs: vec![
                draw.values(F32, state)?,
                draw.zeros(F32, 4 * state)?,
                draw.zeros(F32, state)?,
            ],
            call: calling::<B>(move |on, x, y| {
                let inputs = LstmGradientInputs {
                    dh: &x[0],
                    gates: &x[1],
                    c_before: &x[2],
                    c: &x[3],
                    recurrent: &x[4],
                };
                let [dc, dgates, dh_before] = y else { unreachable!("three outputs above") };
                on.lstm_cell_backward(&geometry, inputs, LstmGradients { dc, dgates, dh_before })
            }),
        });
    }
    Ok(cases)
}
