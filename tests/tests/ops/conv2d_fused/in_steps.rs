//! The operations one after another, of which each stores what it computes.

use nasrl_tensor::Memory;
use nasrl_tensor::ops::{
    Activation, ActivationBackend, BatchNormBackend, ChannelRange, ConcatBackend, Conv2dBackend,
    CopyChannels, Epilogue, Rows, Sum, Upstream,
};
use nasrl_tests::{FLOATS, Inputs};

use super::passes::{Bench, Replaced, fused};
use super::{Case, F32, Operands, RELU, catalogue, norm_of, sum_of};
use crate::backends;

/// With values that every step rounds, and functions that kernels fuse or do not.
#[test]
fn results_have_the_bits_of_the_operations_one_after_another() {
    let (fused_ones, another): (Replaced, Replaced) = (|f| f, |f| f.map(|_| Activation::Tanh));
    let catalogue = catalogue();
    let cases = catalogue.iter().map(|case| (case, fused_ones));
    for (case, f) in cases.chain(catalogue[..4].iter().map(|case| (case, another))) {
        let mut inputs = Inputs::new(32);
        let operands = Operands::new(case, 2, |len, _| inputs.uniform(len));
        for on in backends() {
            for dtype in FLOATS {
                let bench = Bench { on: &on, dtype };
                let found = fused(&bench, case, &operands, f);
                let (y, dx, dw) = in_steps(&bench, case, &operands, f);
                let what = format!("{dtype} on {} of {:?}", on.name(), case.geometry);
                assert!(found.y == y, "y {what}");
                assert!(found.dx == dx, "dx {what}");
                assert!(found.dw == dw, "dw {what}");
            }
        }
    }
}

/// The output, the gradients of the segments and that of the filters, by operations that store
/// whatever they compute.
fn in_steps(
    bench: &Bench<'_>,
    case: &Case,
    operands: &Operands,
    f: Replaced,
) -> (Vec<f32>, Vec<Vec<f32>>, Vec<f32>) {
    let (on, images, g) = (bench.on, operands.problem.images, &case.geometry);
    let mut plan = on.conv2d_plan(g, bench.dtype).unwrap();
    on.conv2d_load(&mut plan, &bench.buffer(F32, &operands.problem.w)).unwrap();
    let zeros = |len: usize| bench.activations(&vec![0.0; len]);
    let count = operands.problem.x.len() / g.channels;
    let mut whole = zeros(operands.problem.x.len());
    let mut at = ChannelRange { first: 0, width: g.channels };
    for (index, ([x, lines], &channels)) in operands.x.iter().zip(&case.segments).enumerate() {
        let mut normal = bench.activations(x);
        if let Some(activation) = norm_of(index) {
            let (x, lines) = (bench.activations(x), bench.buffer(F32, lines));
            let rows = Rows { count, channels };
            on.batch_norm_apply(f(activation), rows, &x, &lines, &mut normal).unwrap();
        }
        let from = ChannelRange { first: 0, width: channels };
        let slice = CopyChannels { rows: count, channels, from, to: at };
        on.copy_channels(&slice, &normal, Sum::Store, &mut whole).unwrap();
        at.first += channels;
    }
    let mut y = zeros(operands.y.len());
    let epilogue = Epilogue { bias: None, relu: false };
    on.conv2d_fprop(&plan, images, &whole, epilogue, &mut y).unwrap();

    let (dy, raw) = (bench.activations(&operands.problem.dy), bench.activations(&operands.y));
    let mut gradient = zeros(operands.y.len());
    let rows = Rows { count: operands.y.len() / g.filters, channels: g.filters };
    let upstream = Upstream { activation: f(RELU), x: &raw, dy: &dy };
    let coefficients = bench.buffer(F32, &operands.coefficients);
    on.batch_norm_backward_apply(rows, &upstream, &coefficients, &mut gradient).unwrap();
    let mut of_input = zeros(operands.problem.x.len());
    on.conv2d_dgrad(&plan, images, &gradient, None, &mut of_input).unwrap();
    let mut from = ChannelRange { first: 0, width: g.channels };
    let mut gradients = Vec::new();
    for (index, ([x, _], &channels)) in operands.x.iter().zip(&case.segments).enumerate() {
        let to = ChannelRange { first: 0, width: channels };
        let slice = CopyChannels { rows: count, channels, from, to };
        from.first += channels;
        let mut part = zeros(x.len());
        on.copy_channels(&slice, &of_input, Sum::Store, &mut part).unwrap();
        if norm_of(index).is_none() {
            let (mask, before) = (bench.activations(x), part);
            part = zeros(x.len());
            let relu = Activation::Relu;
            on.activation_backward(relu, x.len(), &mask, &before, &mut part).unwrap();
        }
        let mut dx = bench.activations(&operands.before[index]);
        let all = CopyChannels { from: to, ..slice };
        on.copy_channels(&all, &part, sum_of(index), &mut dx).unwrap();
        gradients.push(bench.read(&dx));
    }
    let mut dw = bench.buffer(F32, &operands.dw[..operands.problem.w.len()]);
    on.conv2d_wgrad(&plan, images, &whole, &gradient, Sum::Add, &mut dw).unwrap();
    (bench.read(&y), gradients, bench.read(&dw))
}
