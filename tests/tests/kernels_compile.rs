//! Every kernel source through NVRTC itself, for the architectures that matter; no GPU is needed.

use std::env;

use nasrl_kernels::SOURCES;
use nasrl_tensor::Error;
use nasrl_tensor::cuda::compile;

/// Set to 1, a machine without NVRTC fails this test.
const REQUIRED: &str = "NASRL_REQUIRE_NVRTC";

/// The first has `mma.sync` and `cp.async`, the second what only Hopper has.
const ARCHITECTURES: [&str; 2] = ["sm_80", "sm_90a"];

/// Sources whose inner loops have to stay in registers.
const HOT: [&str; 4] = ["conv2d", "lstm_cell", "matmul", "softmax"];

#[test]
#[expect(clippy::print_stderr, reason = "whoever reads the tests' output should know")]
fn every_source_compiles_alone_and_hot_ones_do_not_spill() {
    for source in SOURCES {
        for architecture in ARCHITECTURES {
            let compiled = match compile(source.name, source.text, architecture) {
                Ok(compiled) => compiled,
                Err(error @ Error::NoNvrtc { .. }) => {
                    let required = env::var(REQUIRED).is_ok_and(|value| value == "1");
                    assert!(!required, "{REQUIRED} is 1: {error}");
                    return eprintln!("skipped: {error}");
                }
                Err(error) => panic!("{error}"),
            };
            assert!(!compiled.cubin.is_empty(), "{} for {architecture}", source.name);
            let hot = HOT.iter().any(|stem| source.name.starts_with(stem));
            let spill = compiled.log.lines().find(|line| {
                line.contains("bytes spill stores") && !line.contains(" 0 bytes spill stores")
            });
            if let Some(spill) = spill {
                eprintln!("{} for {architecture}: {}", source.name, spill.trim());
                assert!(!hot, "{} for {architecture} spills: {spill}", source.name);
            }
        }
    }
}
