//! What the classifier's kernel reads and writes, as the emulator counts it.

use nasrl_cuda_emulator::{Options, install};
use nasrl_tensor::ops::{ClassifierInputs, Pooled, classifier_with_gradients};
use nasrl_tensor::{DType, Memory, Tensor};
use nasrl_tests::{Inputs, emulated_as, tensor};

const OPTIONS: fn() -> Options = || Options { count: true, ..Options::default() };

const CLASSES: usize = 10;

/// The reference child's last map at two batches, and a map of `nas-rl-cnn`: images, side, channels.
const MAPS: [[usize; 3]; 3] = [[128, 8, 64], [512, 8, 64], [128, 32, 48]];

#[test]
fn the_map_is_read_once_and_its_gradient_written_once() {
    let Some(on) = emulated_as(&OPTIONS()).pop() else { return };
    let emulator = install(&OPTIONS()).unwrap();
    for [images, side, channels] in MAPS {
        let mut inputs = Inputs::new(1);
        let elements = images * side * side * channels;
        let x: Vec<f32> = inputs.uniform(elements).iter().map(|x| x.max(0.0)).collect();
        let x = tensor(&on, DType::BF16, [images, side, side, channels], &x);
        let weight =
            tensor(&on, DType::F32, [channels, CLASSES], &inputs.uniform(channels * CLASSES));
        let bias = tensor(&on, DType::F32, [CLASSES], &inputs.uniform(CLASSES));
        let labels = Tensor::from_slice(&on, [images], &inputs.indices(images, CLASSES)).unwrap();
        on.synchronize().unwrap();
        emulator.clear_launches();
        let (weight, bias, labels) = (&weight, &bias, &labels);
        let operands = ClassifierInputs { x: &x, pooled: Pooled::Relu, weight, bias, labels };
        classifier_with_gradients(&operands, images as f32).unwrap();
        on.synchronize().unwrap();
        let launches = emulator.launches();
        let [launch] = &launches[..] else { panic!("{launches:?}") };
        assert_eq!(launch.kernel, "classifier_gradients_eight_bf16");
        let counters = launch.counters.as_ref().expect("the emulator counts");
        let what = format!("{images}x{side}x{side}x{channels}: {counters:?}");
        // 16 elements of bf16 a sector; what is read more are the weights, what is written more the
        // pieces of their gradient.
        let map = elements as u64 / 16;
        assert!(counters.global_distinct_sectors_read * 10 <= map * 13, "{what}");
        assert!(counters.global_distinct_sectors_written * 10 <= map * 13, "{what}");
        // By vectors of eight, so that the map is not fetched again for the relu's mask.
        assert_eq!(counters.global_widths[4], 2 * elements as u64 / 8, "{what}");
        // Outside of the loops over pixels, once an image, where columns are not a power of two.
        assert!(counters.shared_bank_conflicts * 20 <= counters.shared_passes, "{what}");
    }
}
