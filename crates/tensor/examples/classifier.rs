//! A network of two dense layers learns which of two interleaved spirals a point belongs to.

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use nasrl_tensor::ops::{self, Activation, Operand, Optimizer, UpdateRule};
use nasrl_tensor::random::{Key, Philox};
use nasrl_tensor::{Cpu, Result, Tensor};

const POINTS: usize = 400;
const HIDDEN: usize = 64;

fn main() -> Result<()> {
    let cpu = Cpu::new();
    let (points, labels) = spirals();
    let x = Tensor::from_slice(&cpu, [POINTS, 2], &points)?;
    let labels = Tensor::from_slice(&cpu, [POINTS], &labels)?;

    let mut random = Philox::new(Key::new(1, 0, "weights"));
    let mut uniform = |shape: [usize; 2], limit: f32| {
        let weight = |_| limit * (2.0 * random.uniform() - 1.0);
        Tensor::from_slice(&cpu, shape, &(0..shape[0] * shape[1]).map(weight).collect::<Vec<_>>())
    };
    let mut parameters = vec![
        uniform([2, HIDDEN], 1.0)?,
        uniform([1, HIDDEN], 1.0)?.reshape([HIDDEN])?,
        uniform([HIDDEN, 2], 0.3)?,
        Tensor::from_slice(&cpu, [2], &[0.0f32; 2])?,
    ];
    let mut adam = Optimizer::new(UpdateRule::ADAM, 0.0)?;
    for step in 0..=2000 {
        let [w1, b1, w2, b2] = parameters.as_slice() else { unreachable!("four parameters") };
        let z = ops::matmul(&x, Operand::Plain, w1, Operand::Plain)?;
        let h = ops::bias(&z, b1, Some(Activation::Tanh))?;
        let logits = ops::bias(&ops::matmul(&h, Operand::Plain, w2, Operand::Plain)?, b2, None)?;
        let (sums, dlogits) = ops::cross_entropy_with_gradient(&logits, &labels, POINTS as f32)?;
        if step % 500 == 0 {
            let sums = sums.to_vec::<f32>()?;
            println!("step {step:4}: loss {:.4}, {} of {POINTS} correct", sums[0], sums[1]);
        }

        let dh = ops::matmul(&dlogits, Operand::Plain, w2, Operand::Transposed)?;
        let dz = ops::activation_backward(&h, &dh, Activation::Tanh)?;
        let gradients = [
            ops::matmul(&x, Operand::Transposed, &dz, Operand::Plain)?,
            ops::bias_backward(&dz)?,
            ops::matmul(&h, Operand::Transposed, &dlogits, Operand::Plain)?,
            ops::bias_backward(&dlogits)?,
        ];
        adam.step(0.01, &mut parameters, &gradients)?;
    }
    Ok(())
}

/// Points in the plane, and the number of the spiral that each lies on.
fn spirals() -> (Vec<f32>, Vec<u32>) {
    let point = |i: usize| {
        let (spiral, along) = (i % 2, (i / 2) as f32 / (POINTS / 2) as f32);
        let angle = 7.0 * along + std::f32::consts::PI * spiral as f32;
        let radius = 0.2 + along;
        [radius * angle.cos(), radius * angle.sin()]
    };
    ((0..POINTS).flat_map(point).collect(), (0..POINTS as u32).map(|i| i % 2).collect())
}
