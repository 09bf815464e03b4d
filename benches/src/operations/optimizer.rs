use nasrl_tensor::ops::{
    GradientPieces, OptimizedTensor, OptimizerBackend, OptimizerStep, StepSizes, UpdateRule,
};
use nasrl_tensor::{DType::F32, Result};
use nasrl_tests::Tolerance;

use super::is_f32;
use crate::case::{Agreement, Case, Setting, Work, calling};

/// A child of the reference space with 64 filters in every layer has 113,000 parameters, one of
/// `nas-rl-cnn` 1.55 million.
const PARAMETERS: [usize; 2] = [113_000, 1_550_000];

/// Bound by memory: parameters and state are read and written, gradients read.
pub(super) fn cases<B: OptimizerBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let mut cases = Vec::new();
    if !is_f32(setting) {
        return Ok(cases);
    }
    for len in setting.pick(&[1, 3_001], &PARAMETERS) {
        for (pass, rule) in [
            ("sgd", UpdateRule::Sgd { momentum: 0.9, nesterov: true }),
            ("adam", UpdateRule::ADAM),
            ("rms_prop", UpdateRule::RmsProp { decay: 0.9, momentum: 0.9, epsilon: 1e-10 }),
        ] {
            let mut draw = setting.draw(19);
            let mut outputs = vec![draw.values(F32, len)?];
            for _ in 0..rule.state_buffers() {
                outputs.push(draw.zeros(F32, len)?);
            }
            let mut number = 0;
            cases.push(Case {
                pass: pass.to_owned(),
                shape: len.to_string(),
                work: Work::bytes(4 * (3 + 2 * rule.state_buffers()) * len),
                agreement: Agreement::Close(Tolerance::rounding(F32)),
                inputs: vec![draw.values(F32, len)?],
                outputs,
                call: calling::<B>(move |on, gradient, y| {
                    number += 1;
                    let [parameters, state @ ..] = y else { unreachable!("parameters above") };
                    let gradients = &[GradientPieces { buffer: &gradient[0], count: 1 }];
                    let sizes = StepSizes::Given(rule.sizes(1e-6, number));
                    let step = OptimizerStep { rule, weight_decay: 1e-4, sizes };
                    let tensor = OptimizedTensor { len, parameters, gradients, state };
                    on.optimizer_steps(&step, &mut [tensor])
                }),
            });
        }
    }
    Ok(cases)
}
