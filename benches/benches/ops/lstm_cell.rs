use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{
    LstmCell, LstmCellBackend, LstmGradientInputs, LstmGradients, LstmInputs, LstmOutputs,
};
use nasrl_tensor::{Cpu, DType, Memory};

/// Sequences side by side and units: a policy that samples, one that learns from a priority queue
/// of eight beside it, the same with the 35 units of the paper, and a large controller.
const STEPS: [[usize; 2]; 4] = [[1, 32], [9, 32], [9, 35], [20, 100]];

/// Bound by the product with the recurrent weights, `8 batch units^2` operations either way; at
/// batch 1 by reading them from the cache.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::serial();
    let mut group = criterion.benchmark_group("lstm_cell");
    for [batch, units] in STEPS {
        let state = batch * units;
        let values = |len: usize| uniform(&cpu, DType::F32, [len]).expect("a few kilobytes");
        let zeros = |len: usize| cpu.zeros(DType::F32, len).expect("a few kilobytes");
        let (projection, recurrent) = (values(4 * state), values(4 * units * units));
        let (h, c, dh) = (values(state), values(state), values(state));
        let (mut gates, mut new_h, mut new_c) = (zeros(4 * state), zeros(state), zeros(state));
        let (mut dgates, mut dh_before, mut dc) = (zeros(4 * state), zeros(state), zeros(state));
        let geometry = LstmCell { batch, units };
        group.throughput(Throughput::ElementsAndBytes {
            elements: (8 * batch * units * units) as u64,
            bytes: (16 * units * units) as u64,
        });
        group.bench_function(format!("fprop {batch}x{units}"), |b| {
            b.iter(|| {
                let inputs = LstmInputs {
                    projection: black_box(&projection).buffer(),
                    h: h.buffer(),
                    c: c.buffer(),
                    recurrent: recurrent.buffer(),
                };
                let outputs = LstmOutputs { gates: &mut gates, h: &mut new_h, c: &mut new_c };
                cpu.lstm_cell(&geometry, inputs, outputs)
            });
        });
        group.bench_function(format!("backward {batch}x{units}"), |b| {
            b.iter(|| {
                let inputs = LstmGradientInputs {
                    dh: black_box(&dh).buffer(),
                    gates: &gates,
                    c_before: c.buffer(),
                    c: &new_c,
                    recurrent: recurrent.buffer(),
                };
                let gradients =
                    LstmGradients { dc: &mut dc, dgates: &mut dgates, dh_before: &mut dh_before };
                cpu.lstm_cell_backward(&geometry, inputs, gradients)
            });
        });
    }
    group.finish();
}
