//! Products of 16-bit numbers are made by tensor cores: the compiled kernels contain the instruction.
//!
//! Instructions of sm_70 to sm_90 are words of 128 bits whose lowest twelve say what they are.

use std::env;

use nasrl_kernels::{
    CONV2D_GATHER, CONV2D_TILED, CONV2D_WGRAD, MATMUL, MATMUL_MMA, SOFTMAX, Source,
};
use nasrl_tensor::Error;
use nasrl_tensor::cuda::compile;

/// Set to 1, a machine without NVRTC fails this test.
const REQUIRED: &str = "NASRL_REQUIRE_NVRTC";

/// `HMMA.16816`: a product of 16x16 by 16x8.
const HMMA: u16 = 0x23c;
/// `EXIT`, which every kernel has.
const EXIT: u16 = 0x94d;

#[test]
#[expect(clippy::print_stderr, reason = "whoever reads the tests' output should know")]
fn kernels_of_16_bit_products_have_the_instruction_and_others_have_not() {
    for architecture in ["sm_80", "sm_90a"] {
        for (source, tensor_cores) in [
            (CONV2D_GATHER, true),
            (CONV2D_WGRAD, true),
            (MATMUL_MMA, true),
            (CONV2D_TILED, false),
            (MATMUL, false),
            (SOFTMAX, false),
        ] {
            let Source { name, text } = source;
            let cubin = match compile(name, text, architecture) {
                Ok(compiled) => compiled.cubin,
                Err(error @ Error::NoNvrtc { .. }) => {
                    let required = env::var(REQUIRED).is_ok_and(|value| value == "1");
                    assert!(!required, "{REQUIRED} is 1: {error}");
                    return eprintln!("skipped: {error}");
                }
                Err(error) => panic!("{error}"),
            };
            let kernels = kernels(&cubin);
            assert!(!kernels.is_empty(), "{name}");
            for (kernel, code) in kernels {
                let of = |opcode| opcodes(code).filter(|&of| of == opcode).count();
                assert!(of(EXIT) > 0, "{kernel} for {architecture} is not read as it should be");
                assert_eq!(of(HMMA) > 0, tensor_cores, "{kernel} for {architecture}");
            }
        }
    }
}

/// What each instruction is.
fn opcodes(code: &[u8]) -> impl Iterator<Item = u16> {
    code.chunks_exact(16).map(|word| u16::from_le_bytes([word[0], word[1]]) & 0xfff)
}

/// The kernels of a cubin, an ELF file of 64 bits, and their code: the sections `.text.<kernel>`.
fn kernels(cubin: &[u8]) -> Vec<(&str, &[u8])> {
    let number = |at: usize, bytes: usize| {
        cubin[at..at + bytes].iter().rev().fold(0, |number, byte| number << 8 | *byte as usize)
    };
    assert_eq!(&cubin[..5], b"\x7fELF\x02");
    let (table, entry) = (number(0x28, 8), number(0x3a, 2));
    let header = |section: usize| table + entry * section;
    let contents = |section| {
        let (start, size) = (number(header(section) + 0x18, 8), number(header(section) + 0x20, 8));
        &cubin[start..start + size]
    };
    let names = number(header(number(0x3e, 2)) + 0x18, 8);
    let name = |section| {
        let start = names + number(header(section), 4);
        let length = cubin[start..].iter().position(|byte| *byte == 0).expect("a terminator");
        std::str::from_utf8(&cubin[start..start + length]).expect("a name")
    };
    let sections = 0..number(0x3c, 2);
    sections
        .filter_map(|section| Some((name(section).strip_prefix(".text.")?, contents(section))))
        .collect()
}
