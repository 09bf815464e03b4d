//! How far every operation is from what bounds it on one core: a table of rates, as Markdown.
//!
//! `cargo bench -p nasrl-benches --bench roofline -- [OPERATION ...] [--isa NAME]`. The bound of a
//! case is the longer of two times: its products at the rate of a loop of multiply-additions in
//! registers, and its bytes at the rate of a copy of as many bytes, warm. Winograd's convolutions
//! are counted by the products of a direct one, and so may be beyond it.

#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::hint::black_box;
use std::time::Instant;

use nasrl_benches::case::{Case, Setting, Shapes, Values, Work};
use nasrl_benches::operations::operations;
use nasrl_tensor::cpu::{Conv2dAlgorithm, Isa};
use nasrl_tensor::{Cpu, DType, Memory, Result};

/// Images of a batch, as a block of a training step has them.
const IMAGES: usize = 4;

/// Seconds of a sample, and samples that the median is taken of.
const SAMPLE: f64 = 0.01;
const SAMPLES: usize = 5;

fn main() -> Result<()> {
    let mut wanted = Vec::new();
    let mut isa = Isa::best();
    // Cargo passes `--bench` as well.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        match word.as_str() {
            "--isa" => {
                let name = words.next().unwrap_or_default();
                let named = |isa: &Isa| isa.to_string() == name;
                let Some(found) = Isa::available().into_iter().find(named) else {
                    println!("this processor has {:?}", Isa::available());
                    return Ok(());
                };
                isa = found;
            }
            _ => wanted.push(word),
        }
    }
    let cpu = Cpu::serial().with_isa(isa)?;
    let peaks = [DType::F32, DType::BF16].map(|dtype| (dtype, peak(isa, dtype)));
    println!("One core, {isa}.");
    for (dtype, peak) in peaks {
        match peak {
            Some(peak) => println!("Multiply-additions in registers, {dtype}: {peak:.0} GFLOP/s."),
            None => println!("Multiply-additions in registers, {dtype}: not measured."),
        }
    }
    println!("\n| operation | pass | shape | dtype | us | GFLOP/s | GB/s | bound | of it |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for operation in operations::<Cpu>() {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == operation.name) {
            continue;
        }
        let algorithms = match operation.name {
            "conv2d" => vec![Conv2dAlgorithm::Direct, Conv2dAlgorithm::Winograd],
            _ => vec![Conv2dAlgorithm::Direct],
        };
        for algorithm in algorithms {
            let on = cpu.clone().with_conv2d(algorithm);
            for (dtype, peak) in peaks {
                let shapes = Shapes::Real { images: IMAGES };
                let setting = Setting { on: &on, dtype, shapes, values: Values::Uniform };
                for mut case in (operation.cases)(&setting)? {
                    let is_winograd = algorithm == Conv2dAlgorithm::Winograd;
                    if is_winograd && !case.shape.contains("3x3 ") {
                        continue;
                    }
                    let name = format!(
                        "{}{}",
                        operation.name,
                        if is_winograd { ", Winograd" } else { "" }
                    );
                    row(&name, &on, &mut case, (dtype, peak))?;
                }
            }
        }
    }
    Ok(())
}

fn row(
    name: &str,
    on: &Cpu,
    case: &mut Case<Cpu>,
    (dtype, peak): (DType, Option<f64>),
) -> Result<()> {
    let Work { flops, bytes } = case.work;
    let seconds = median_seconds(|| case.run(on))?;
    let copying = bytes as f64 / copy_rate(on, bytes as usize)?;
    let computing = peak.map_or(0.0, |peak| flops as f64 / (peak * 1e9));
    let (bound, least) =
        if computing > copying { ("products", computing) } else { ("bytes", copying) };
    let giga = |amount: u64| amount as f64 / seconds / 1e9;
    let rate = if flops > 0 { format!("{:.0}", giga(flops)) } else { String::new() };
    println!(
        "| {name} | {} | {} | {dtype} | {:.1} | {rate} | {:.1} | {bound} | {:.0} % |",
        case.pass,
        case.shape,
        1e6 * seconds,
        giga(bytes),
        100.0 * least / seconds
    );
    Ok(())
}

/// Bytes a second that a copy reads and writes, of so many of both together.
fn copy_rate(on: &Cpu, bytes: usize) -> Result<f64> {
    let len = (bytes / 2 / size_of::<f32>()).max(1);
    let from = on.zeros(DType::F32, len)?;
    let mut to = on.zeros(DType::F32, len)?;
    let seconds = median_seconds(|| on.copy(len, &from, &mut to))?;
    Ok((2 * len * size_of::<f32>()) as f64 / seconds)
}

/// The time of a call, warm.
fn median_seconds(mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut time = |calls: u32| {
        let started = Instant::now();
        (0..calls).try_for_each(|_| call())?;
        Ok(started.elapsed().as_secs_f64() / f64::from(calls))
    };
    time(1)?;
    let calls = (SAMPLE / time(1)?.max(1e-9)).clamp(1.0, 1e6) as u32;
    let mut samples = (0..SAMPLES).map(|_| time(calls)).collect::<Result<Vec<f64>>>()?;
    samples.sort_unstable_by(f64::total_cmp);
    Ok(samples[SAMPLES / 2])
}

/// 10^9 operations a second of multiply-additions that wait for nothing; `None` where no loop is
/// written for the words that the instruction set multiplies.
#[cfg(target_arch = "x86_64")]
fn peak(isa: Isa, dtype: DType) -> Option<f64> {
    let (run, flops): (unsafe fn(u32), u64) = match (isa, dtype) {
        (Isa::Avx512Bf16, DType::BF16) => (x86::pairs, 64),
        (Isa::Avx512 | Isa::Avx512Bf16, _) => (x86::avx512, 32),
        (Isa::Avx2, _) => (x86::avx2, 16),
        (Isa::Portable, _) => return None,
    };
    const ROUNDS: u32 = 10_000;
    let loops = || {
        // SAFETY: the instruction set was detected.
        unsafe { run(black_box(ROUNDS)) };
        Ok(())
    };
    let seconds = median_seconds(loops).ok()?;
    Some((flops * u64::from(ROUNDS) * x86::CHAINS as u64) as f64 / seconds / 1e9)
}

#[cfg(not(target_arch = "x86_64"))]
fn peak(_: Isa, _: DType) -> Option<f64> {
    None
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    /// Multiply-additions that do not wait for each other.
    pub(super) const CHAINS: usize = 12;

    macro_rules! rounds {
        ($name:ident, $features:literal, $splat:expr, $multiply_add:expr) => {
            /// # Safety
            /// The processor has the instruction set.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $name(rounds: u32) {
                let (a, b) = ($splat(black_box(1.0)), $splat(black_box(1e-9)));
                let mut chains = [b; CHAINS];
                for _ in 0..rounds {
                    for chain in &mut chains {
                        *chain = $multiply_add(*chain, a, b);
                    }
                }
                black_box(chains);
            }
        };
    }

    rounds!(avx2, "avx2,fma", _mm256_set1_ps, |sum, a, b| _mm256_fmadd_ps(a, b, sum));
    rounds!(avx512, "avx512f", _mm512_set1_ps, |sum, a, b| _mm512_fmadd_ps(a, b, sum));
    rounds!(pairs, "avx512f,avx512bf16", _mm512_set1_ps, |sum, a, b| {
        // SAFETY: words of two bf16 each have the size of an f32.
        unsafe {
            use std::mem::transmute;
            _mm512_dpbf16_ps(
                sum,
                transmute::<__m512, __m512bh>(a),
                transmute::<__m512, __m512bh>(b),
            )
        }
    });
}
