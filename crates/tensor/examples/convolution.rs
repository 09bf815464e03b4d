//! A convolution, its activation and the gradients of both.

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use nasrl_tensor::ops::{self, Activation, Conv2d};
use nasrl_tensor::{Cpu, DType, Memory, Tensor};

fn main() -> nasrl_tensor::Result<()> {
    let cpu = Cpu::new();
    let geometry = Conv2d { stride: [2, 2], ..Conv2d::new([32, 32], 3, 16, [3, 3]) }.same();

    let ramp = |len: usize| (0..len).map(|i| (i % 17) as f32 / 17.0 - 0.5).collect::<Vec<_>>();
    let x = Tensor::from_slice(&cpu, [4, 32, 32, 3], &ramp(4 * 32 * 32 * 3))?;
    let w = Tensor::from_slice(&cpu, geometry.filter_shape(), &ramp(16 * 3 * 3 * 3))?;

    let y = ops::activation(&ops::conv2d(&x, &w, &geometry)?, Activation::Relu)?;
    let dy = Tensor::from_slice(&cpu, y.shape(), &vec![1.0f32; y.shape().count()])?;
    let dz = ops::activation_backward(&y, &dy, Activation::Relu)?;
    let dx = ops::conv2d_dgrad(&dz, &w, &geometry)?;
    let dw = ops::conv2d_wgrad(&x, &dz, &geometry)?;
    println!("on {}: y {}, dx {}, dw {}", cpu.name(), y.shape(), dx.shape(), dw.shape());

    let half = ops::conv2d(&x.cast(DType::BF16)?, &w, &geometry)?;
    println!("and in {}: y {}", half.dtype(), half.shape());
    Ok(())
}
