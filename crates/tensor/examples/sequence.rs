//! An LSTM learns to remember: it reads eight bits, one a step, and tells the one it read first.

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use nasrl_tensor::ops::{self, LstmGradientInputs, LstmInputs, Operand, Optimizer, UpdateRule};
use nasrl_tensor::random::{Key, Philox};
use nasrl_tensor::{Cpu, DType, Result, Tensor};

const STEPS: usize = 8;
const BATCH: usize = 64;
const UNITS: usize = 16;

fn main() -> Result<()> {
    let cpu = Cpu::new();
    let mut random = Philox::new(Key::new(1, 0, "weights"));
    let mut uniform = |shape: [usize; 2]| {
        let weight = |_| 0.6 * random.uniform() - 0.3;
        Tensor::from_slice(&cpu, shape, &(0..shape[0] * shape[1]).map(weight).collect::<Vec<_>>())
    };
    // A row of embeddings times W_ih for each bit, W_hh, and the weights of the answer.
    let mut parameters =
        vec![uniform([2, 4 * UNITS])?, uniform([UNITS, 4 * UNITS])?, uniform([UNITS, 2])?];
    let mut adam = Optimizer::new(UpdateRule::ADAM, 0.0)?;
    let start = Tensor::zeros(&cpu, DType::F32, [BATCH, UNITS])?;

    for step in 0..=400 {
        let mut random = Philox::new(Key::new(1, step, "bits"));
        let bits: Vec<Vec<u32>> =
            (0..STEPS).map(|_| (0..BATCH).map(|_| random.below(2)).collect()).collect();
        let bits = bits
            .iter()
            .map(|bits| Tensor::from_slice(&cpu, [BATCH], bits))
            .collect::<Result<Vec<_>>>()?;

        let [embedded, recurrent, answer] = parameters.as_slice() else {
            unreachable!("three parameters")
        };
        let (mut hs, mut cs, mut gates) = (vec![start.clone()], vec![start.clone()], vec![]);
        for t in 0..STEPS {
            let projection = ops::embedding(embedded, &bits[t])?;
            let inputs = LstmInputs { projection: &projection, h: &hs[t], c: &cs[t], recurrent };
            let (h, c, after) = ops::lstm_cell(inputs)?;
            hs.push(h);
            cs.push(c);
            gates.push(after);
        }
        let logits = ops::matmul(&hs[STEPS], Operand::Plain, answer, Operand::Plain)?;
        let (sums, dlogits) = ops::cross_entropy_with_gradient(&logits, &bits[0], BATCH as f32)?;
        if step % 100 == 0 {
            let sums = sums.to_vec::<f32>()?;
            println!("step {step:3}: loss {:.4}, {} of {BATCH} correct", sums[0], sums[1]);
        }

        let danswer = ops::matmul(&hs[STEPS], Operand::Transposed, &dlogits, Operand::Plain)?;
        let mut dembedded = Tensor::zeros(&cpu, DType::F32, embedded.shape())?;
        let mut drecurrent = Tensor::zeros(&cpu, DType::F32, recurrent.shape())?;
        let mut dh = ops::matmul(&dlogits, Operand::Plain, answer, Operand::Transposed)?;
        let mut dc = start.clone();
        for t in (0..STEPS).rev() {
            let inputs = LstmGradientInputs {
                dh: &dh,
                gates: &gates[t],
                c_before: &cs[t],
                c: &cs[t + 1],
                recurrent,
            };
            let (dgates, dh_before, dc_before) = ops::lstm_cell_backward(inputs, &dc)?;
            ops::add_assign(&mut dembedded, &ops::embedding_backward(&bits[t], &dgates, 2)?)?;
            ops::matmul_add(&hs[t], Operand::Transposed, &dgates, Operand::Plain, &mut drecurrent)?;
            (dh, dc) = (dh_before, dc_before);
        }
        adam.step(0.02, &mut parameters, &[dembedded, drecurrent, danswer])?;
    }
    Ok(())
}
