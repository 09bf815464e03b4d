use half::{bf16, f16};
use nasrl_tensor::cuda::{CustomKernels, Grid};
use nasrl_tensor::{DType, Memory};
use nasrl_tests::Inputs;
use serde::Serialize;

use super::{Block, Check, CheckError};

pub(super) const SOURCE: &str = include_str!("instructions.cu");

/// A kernel of `instructions.cu`, its operands, and what they make by the documentation.
struct Instruction {
    kernel: &'static str,
    x: Vec<u32>,
    expected: Vec<u32>,
    /// How results are read: two NaNs are the same.
    results: Results,
}

#[derive(Clone, Copy)]
enum Results {
    Bits,
    F32,
    F16,
    Bf16,
}

#[derive(Serialize)]
struct Verdict<'a> {
    instruction: &'a str,
    results: usize,
    differ: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Compares every instruction that the kernels reach through `prelude.cuh` with what it is
/// documented to do, computed here.
///
/// Returns how many do something else.
///
/// # Errors
/// [`CheckError::Report`], and [`CheckError::Device`] if they do not compile; what else fails is a
/// line.
pub fn instructions(check: &mut Check<'_>) -> Result<usize, CheckError> {
    let kernels = check.cuda.custom_kernels("instructions.cu", SOURCE)?;
    let mut failures = 0;
    for instruction in all() {
        let kernel = instruction.kernel;
        let (results, differ, problem) = match run(check, &kernels, &instruction) {
            Ok(found) => (found.len(), instruction.differences(&found), None),
            Err(error) => (0, 0, Some(error.to_string())),
        };
        failures += usize::from(differ > 0 || problem.is_some());
        let verdict = Verdict { instruction: kernel, results, differ, problem };
        check.report.line(Block::Instructions, &verdict)?;
    }
    Ok(failures)
}

fn run(
    check: &Check<'_>,
    kernels: &CustomKernels,
    instruction: &Instruction,
) -> nasrl_tensor::Result<Vec<u32>> {
    let (cuda, kernel) = (check.cuda, kernels.kernel(instruction.kernel)?);
    let mut x = cuda.zeros(DType::U32, instruction.x.len())?;
    cuda.write(&instruction.x, &mut x)?;
    let mut y = cuda.zeros(DType::U32, instruction.expected.len())?;
    let grid = Grid { blocks: [1; 3], threads: 32, shared: 0 };
    let len = instruction.x.len() as u64;
    // SAFETY: the kernel reads the words of `x` and writes those of `y`: as many as there are in
    // `x`, or the fixed number that is expected.
    unsafe { cuda.launch_custom(&kernel, grid, &[&x], &mut [&mut y], len) }?;
    let mut found = vec![0u32; instruction.expected.len()];
    cuda.read(&y, &mut found)?;
    Ok(found)
}

impl Instruction {
    fn differences(&self, found: &[u32]) -> usize {
        let is_nan = |bits: u32| match self.results {
            Results::Bits => false,
            Results::F32 => f32::from_bits(bits).is_nan(),
            Results::F16 => f16::from_bits(bits as u16).is_nan(),
            Results::Bf16 => bf16::from_bits(bits as u16).is_nan(),
        };
        let pairs = found.iter().zip(&self.expected);
        pairs.filter(|&(&a, &b)| a != b && !(is_nan(a) && is_nan(b))).count()
    }
}

fn all() -> Vec<Instruction> {
    let halves: Vec<u32> = (0..=u32::from(u16::MAX)).collect();
    // Every upper half, with lower halves on both sides of each tie of bf16 and of f16.
    let lower = [0, 1, 0x0fff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001, 0xffff];
    let singles: Vec<u32> =
        halves.iter().flat_map(|upper| lower.map(|lower| upper << 16 | lower)).collect();
    let of = |kernel, results, x: &[u32], value: fn(u32) -> u32| Instruction {
        kernel,
        x: x.to_vec(),
        expected: x.iter().map(|&x| value(x)).collect(),
        results,
    };
    vec![
        of("to_f32_of_f16", Results::F32, &halves, |x| f16::from_bits(x as u16).to_f32().to_bits()),
        of("to_f32_of_bf16", Results::F32, &halves, |x| {
            bf16::from_bits(x as u16).to_f32().to_bits()
        }),
        of("from_f32_to_f16", Results::F16, &singles, |x| {
            u32::from(f16::from_f32(f32::from_bits(x)).to_bits())
        }),
        of("from_f32_to_bf16", Results::Bf16, &singles, |x| {
            u32::from(bf16::from_f32(f32::from_bits(x)).to_bits())
        }),
        cp_async::<2>("cp_async_8"),
        cp_async::<4>("cp_async_16"),
        ldmatrix("ldmatrix2", 2, Order::Rows),
        ldmatrix("ldmatrix4", 4, Order::Rows),
        ldmatrix("ldmatrix4_trans", 4, Order::Transposed),
        mma("mma_bf16", |value| bf16::from_f32(value).to_bits()),
        mma("mma_f16", |value| f16::from_f32(value).to_bits()),
    ]
}

/// Of pieces of so many words.
fn cp_async<const WORDS: usize>(kernel: &'static str) -> Instruction {
    let x = words(64 * WORDS);
    let mut pieces = vec![[0u32; WORDS]; 64];
    for (piece, from) in x.as_chunks::<WORDS>().0.iter().enumerate() {
        if from[0] % 2 == 0 {
            pieces[piece / 32 * 32 + (piece + 5) % 32] = *from;
        }
    }
    let first = pieces[..32].to_vec();
    let expected = [pieces, first].concat().into_iter().flatten().collect();
    Instruction { kernel, x, expected, results: Results::Bits }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Rows,
    Transposed,
}

fn ldmatrix(kernel: &'static str, count: usize, order: Order) -> Instruction {
    let x = words(32 * 4);
    let element = |matrix: usize, row: usize, column: usize| {
        let row = 11 * (8 * matrix + row) % 32;
        x[4 * row + column / 2] >> (16 * (column % 2)) & 0xffff
    };
    let mut expected = Vec::new();
    for lane in 0..32 {
        for matrix in 0..count {
            let [low, high] = [0, 1].map(|next| match order {
                Order::Rows => element(matrix, lane / 4, 2 * (lane % 4) + next),
                Order::Transposed => element(matrix, 2 * (lane % 4) + next, lane / 4),
            });
            expected.push(low | high << 16);
        }
    }
    Instruction { kernel, x, expected, results: Results::Bits }
}

/// Integers, whose sums are exact.
fn mma(kernel: &'static str, bits: fn(f32) -> u16) -> Instruction {
    let mut inputs = Inputs::new(6);
    let [a, b, c] = [256, 128, 128].map(|len| inputs.integers(len, 9));
    let mut sums = c.clone();
    for (place, sum) in sums.iter_mut().enumerate() {
        // The columns of `b` lie one after another.
        let (row, column) = (&a[place / 8 * 16..][..16], &b[place % 8 * 16..][..16]);
        *sum += row.iter().zip(column).map(|(a, b)| a * b).sum::<f32>();
    }
    let pairs = |values: &[f32]| -> Vec<u32> {
        let pair = |pair: &[f32; 2]| u32::from(bits(pair[0])) | u32::from(bits(pair[1])) << 16;
        values.as_chunks().0.iter().map(pair).collect()
    };
    let singles = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let x = [pairs(&a), pairs(&b), singles(&c)].concat();
    Instruction { kernel, x, expected: singles(&sums), results: Results::Bits }
}

fn words(len: usize) -> Vec<u32> {
    let mut inputs = Inputs::new(5);
    (0..len).map(|_| (inputs.below(1 << 16) << 16 | inputs.below(1 << 16)) as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_of_the_prelude_is_among_them() {
        let prelude = nasrl_kernels::HEADERS.iter().find(|it| it.name == "prelude.cuh").unwrap();
        let mut names = Vec::new();
        let mut name = "";
        for line in prelude.text.lines() {
            if line.contains("DEV ") && !line.starts_with('#') {
                let before = line.split('(').next().unwrap();
                name = before.rsplit(' ').next().unwrap();
            }
            if line.contains("asm") && line.trim_start().starts_with("asm") {
                names.push(name.split('<').next().unwrap());
            }
        }
        assert!(names.len() >= 11, "{names:?}");
        for name in names {
            assert!(SOURCE.contains(name), "{name}");
        }
        let kernels: Vec<_> = all().iter().map(|it| it.kernel).collect();
        let listed = SOURCE.lines().filter(|line| line.starts_with("INSTRUCTION(")).count();
        assert_eq!(kernels.len(), listed);
    }

    #[test]
    fn one_wrong_result_is_found() {
        for instruction in all() {
            let mut found = instruction.expected.clone();
            assert_eq!(instruction.differences(&found), 0);
            found[1] ^= 1;
            assert_eq!(instruction.differences(&found), 1, "{}", instruction.kernel);
        }
    }
}
