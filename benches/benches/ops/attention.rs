use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nasrl_benches::uniform;
use nasrl_tensor::ops::{Attention, AttentionBackend, AttentionGradients, AttentionInputs};
use nasrl_tensor::{Cpu, DType, Memory};

/// A policy's last anchor: six layers and a single child, six and a priority queue of eight beside
/// it, twenty layers with the 35 units of the paper.
const ANCHORS: [Attention; 3] = [
    Attention { batch: 1, sources: 5, capacity: 6, units: 32 },
    Attention { batch: 9, sources: 5, capacity: 6, units: 32 },
    Attention { batch: 9, sources: 19, capacity: 20, units: 35 },
];

/// Bound by a hyperbolic tangent an element of the keys, and for a context by reading the values.
pub(crate) fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::serial();
    let mut group = criterion.benchmark_group("attention");
    for geometry in ANCHORS {
        let Attention { batch, sources, capacity, units } = geometry;
        let values = |len: usize| uniform(&cpu, DType::F32, [len]).expect("a few kilobytes");
        let zeros = |len: usize| cpu.zeros(DType::F32, len).expect("a few kilobytes");
        let (keys, query) = (values(batch * capacity * units), values(batch * units));
        let (v, weights) = (values(units), values(batch * sources));
        let mut scores = zeros(batch * sources);
        let (mut dkeys, mut dquery, mut dv) =
            (zeros(batch * capacity * units), zeros(batch * units), zeros(units));
        group.throughput(Throughput::Elements((batch * sources * units) as u64));
        let name = |pass: &str| format!("{pass} {batch}x{sources}x{units}");
        group.bench_function(name("scores"), |b| {
            b.iter(|| {
                let keys = black_box(&keys).buffer();
                let inputs = AttentionInputs { keys, query: query.buffer(), v: v.buffer() };
                cpu.attention_scores(&geometry, inputs, &mut scores)
            });
        });
        group.bench_function(name("scores backward"), |b| {
            b.iter(|| {
                let keys = black_box(&keys).buffer();
                let inputs = AttentionInputs { keys, query: query.buffer(), v: v.buffer() };
                let gradients =
                    AttentionGradients { dkeys: &mut dkeys, dquery: &mut dquery, dv: &mut dv };
                cpu.attention_scores_backward(&geometry, inputs, weights.buffer(), gradients)
            });
        });
        group.bench_function(name("context"), |b| {
            b.iter(|| {
                let values = black_box(&keys).buffer();
                cpu.attention_context(&geometry, weights.buffer(), values, &mut dquery)
            });
        });
        group.bench_function(name("context backward"), |b| {
            b.iter(|| {
                let dcontext = black_box(&query).buffer();
                cpu.attention_context_backward(&geometry, weights.buffer(), dcontext, &mut dkeys)
            });
        });
    }
    group.finish();
}
