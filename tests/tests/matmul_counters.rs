//! What the matrix product's kernels do beside what they are for, as the emulator counts it.

use nasrl_cuda_emulator::{Options, install};
use nasrl_tensor::ops::{Operand, matmul_add};
use nasrl_tensor::{DType, Memory, Tensor};
use nasrl_tests::{Inputs, emulated_as, tensor};

const OPTIONS: fn() -> Options = || Options { count: true, ..Options::default() };

/// `[m, n, k]`: a language model's recurrent product, its input product and a dense layer, in extents
/// that fill tiles.
const EXTENTS: [[usize; 3]; 3] = [[64, 768, 192], [128, 256, 192], [256, 64, 512]];

#[test]
fn products_are_those_of_the_formula_and_operands_lie_in_different_banks() {
    let Some(on) = emulated_as(&OPTIONS()).pop() else { return };
    let emulator = install(&OPTIONS()).unwrap();
    for [m, n, k] in EXTENTS {
        for layout in [Operand::Plain, Operand::Transposed]
            .into_iter()
            .flat_map(|a| [Operand::Plain, Operand::Transposed].map(|b| [a, b]))
        {
            let what = format!("{m}x{n}x{k} {layout:?}");
            let mut inputs = Inputs::new(1);
            let mut operand = |rows, columns, operand| {
                let shape = match operand {
                    Operand::Plain => [rows, columns],
                    Operand::Transposed => [columns, rows],
                };
                tensor(&on, DType::BF16, shape, &inputs.uniform(rows * columns))
            };
            let (a, b) = (operand(m, k, layout[0]), operand(k, n, layout[1]));
            let mut c = Tensor::zeros(&on, DType::F32, [m, n]).unwrap();
            on.synchronize().unwrap();
            emulator.clear_launches();
            matmul_add(&a, layout[0], &b, layout[1], &mut c).unwrap();
            on.synchronize().unwrap();
            let launches = emulator.launches();
            let [launch] = &launches[..] else { panic!("{launches:?}") };
            assert_eq!(launch.kernel, "matmul_mma_64_bf16", "{what}");
            let counters = launch.counters.as_ref().expect("the emulator counts");
            assert_eq!(counters.mma_multiply_adds, (m * n * k) as u64, "{what}");
            // Every sector once but for c, which is read and written.
            let minimum = (2 * (m * k + k * n) + 4 * m * n) as u64 / 32;
            assert!(counters.global_distinct_sectors_read * 10 <= minimum * 13, "{what}");
            // 16 bytes at a time but for c.
            let moved = counters.global_bytes_read + counters.global_bytes_written;
            let narrow = moved - 16 * counters.global_widths[4];
            assert!(narrow <= (2 * 4 * m * n) as u64, "{what}: {counters:?}");
            assert_eq!(counters.shared_bank_conflicts, 0, "{what}: {counters:?}");
        }
    }
}
