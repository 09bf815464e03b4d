//! What was predicted is of something that `gpu-check` times.

use std::collections::BTreeSet;

use nasrl_benches::case::{Setting, Shapes, Values};
use nasrl_benches::gpu_check::{CHILDREN, Predictions};
use nasrl_benches::operations::operations;
use nasrl_tensor::{Cpu, DType};

/// How shapes of a batch of 128 begin, and what one image makes of that.
const PER_IMAGE: [(&str, &str); 4] =
    [("", ""), (" 128", " 1"), (" 32768x", " 256x"), (" 131072x", " 1024x")];

#[test]
fn predictions_are_of_what_is_timed() {
    let cpu = Cpu::new();
    let mut timed = BTreeSet::new();
    for dtype in [DType::F32, DType::BF16] {
        // Of one image, which takes less time to draw than a batch.
        let shapes = Shapes::Real { images: 1 };
        let setting = Setting { on: &cpu, dtype, shapes, values: Values::Uniform };
        for operation in operations::<Cpu>() {
            for case in (operation.cases)(&setting).unwrap() {
                timed.insert(format!("{} {} {} {dtype}", operation.name, case.pass, case.shape));
            }
        }
    }
    for child in CHILDREN {
        for batch in [128, 512] {
            timed.extend(["f32", "bf16"].map(|dtype| format!("step {child} {batch} {dtype}")));
        }
    }
    let predictions = Predictions::committed();
    assert!(predictions.names().count() > 100);
    for name in predictions.names() {
        let mut of_one_image = PER_IMAGE.iter().map(|(batch, one)| name.replacen(batch, one, 1));
        assert!(of_one_image.any(|name| timed.contains(&name)), "{name}");
        let prediction = predictions.get(name).unwrap();
        assert!(prediction.floor_us <= prediction.expected_us, "{name}: {prediction:?}");
    }
}
