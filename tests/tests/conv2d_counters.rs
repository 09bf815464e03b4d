//! What convolution's kernels do beside what they are for, as the emulator counts it.

use nasrl_cuda_emulator::{Counters, Options, install};
use nasrl_tensor::cuda::Buffer;
use nasrl_tensor::ops::{Conv2d, Conv2dBackend, Epilogue, Sum};
use nasrl_tensor::{Cuda, DType, Memory};
use nasrl_tests::{Inputs, emulated_as};

const OPTIONS: fn() -> Options = || Options { count: true, ..Options::default() };

/// Layers of children whose channels and maps fill tiles: images, side, channels, filters, stride.
const LAYERS: [[usize; 5]; 4] =
    [[2, 16, 64, 64, 1], [4, 16, 64, 32, 2], [4, 8, 32, 64, 1], [1, 32, 48, 48, 1]];

fn random(on: &Cuda, dtype: DType, len: usize) -> Buffer {
    let mut wide = on.zeros(DType::F32, len).unwrap();
    on.write(&Inputs::new(1).uniform(len), &mut wide).unwrap();
    let mut narrow = on.zeros(dtype, len).unwrap();
    on.cast(len, &wide, &mut narrow).unwrap();
    narrow
}

/// The counters of the three passes.
fn passes(on: &Cuda, images: usize, geometry: &Conv2d) -> Vec<Counters> {
    let [p, q] = geometry.output();
    let [h, w] = geometry.input;
    let [input, output] = [h * w * geometry.channels, p * q * geometry.filters];
    let (x, dy) =
        (random(on, DType::BF16, images * input), random(on, DType::BF16, images * output));
    let filters = random(on, DType::F32, geometry.filter_shape().count());
    let (mut y, mut dx) =
        (random(on, DType::BF16, images * output), random(on, DType::BF16, images * input));
    let mut dw = on.zeros(DType::F32, geometry.filter_shape().count()).unwrap();
    let mut plan = on.conv2d_plan(geometry, DType::BF16).unwrap();
    on.conv2d_load(&mut plan, &filters).unwrap();
    let emulator = install(&OPTIONS()).unwrap();
    emulator.clear_launches();
    let epilogue = Epilogue { bias: None, relu: true };
    on.conv2d_fprop(&plan, images, &x, epilogue, &mut y).unwrap();
    on.conv2d_dgrad(&plan, images, &dy, None, &mut dx).unwrap();
    on.conv2d_wgrad(&plan, images, &x, &dy, Sum::Store, &mut dw).unwrap();
    on.synchronize().unwrap();
    let launches = emulator.launches();
    let names: Vec<&str> = launches.iter().map(|launch| launch.kernel.as_str()).collect();
    // All phases of a stride are one launch; the slices' sum is one more.
    assert_eq!(names.len(), 4, "{names:?}");
    let counters = launches[..3].iter().map(|launch| launch.counters.clone());
    counters.map(|counters| counters.expect("the emulator counts")).collect()
}

#[test]
fn products_are_those_of_the_formula_and_operands_lie_in_different_banks() {
    let Some(on) = emulated_as(&OPTIONS()).pop() else { return };
    for [images, side, channels, filters, stride] in LAYERS {
        let geometry = Conv2d {
            stride: [stride, stride],
            ..Conv2d::new([side, side], channels, filters, [3, 3])
        };
        let geometry = geometry.same();
        let needed = images as u64 * geometry.flops() / 2;
        for (pass, counters) in
            ["fprop", "dgrad", "wgrad"].into_iter().zip(passes(&on, images, &geometry))
        {
            // wgrad's last group of columns may be partly empty.
            let most = if pass == "wgrad" { needed * 4 / 3 } else { needed };
            let done = counters.mma_multiply_adds;
            assert!(done <= most, "{pass} of {geometry:?}: {done} products for {needed}");
            // What is fetched for the tensor cores; copies of a source conflict now and then.
            let lines = counters.bank_conflict_lines.keys();
            let fetches: Vec<_> = lines
                .filter(|line| line.starts_with("prelude.cuh") && !line.contains("source.cuh"))
                .collect();
            assert!(fetches.is_empty(), "{pass} of {geometry:?}: {fetches:?}");
        }
    }
}
