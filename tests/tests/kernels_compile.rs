//! Every kernel source through NVRTC itself, for the architectures that matter; no GPU is needed.
//!
//! With `NASRL_KERNEL_TABLE=<file>` the figures of all kernels are written there, which is how
//! `kernels/registers.md` is made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::{env, fs, thread};

use nasrl_kernels::{HEADERS, SOURCES, Source};
use nasrl_tensor::Error;
use nasrl_tensor::cuda::compile;

/// Set to 1, a machine without NVRTC fails this test.
const REQUIRED: &str = "NASRL_REQUIRE_NVRTC";

/// The first has `mma.sync` and `cp.async`, the second what only Hopper has.
const ARCHITECTURES: [&str; 2] = ["sm_80", "sm_90a"];

/// What the assembler says of a kernel.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    registers: u32,
    shared: u32,
    spilled: u32,
}

#[test]
fn every_file_is_a_source_or_a_header() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("kernels");
    let files = |folder: &Path, end: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).filter(|name| name.ends_with(end)).collect()
    };
    let listed = |sources: &[Source<'_>]| -> BTreeSet<String> {
        sources.iter().map(|source| source.name.to_owned()).collect()
    };
    assert_eq!(files(&folder, ".cu"), listed(SOURCES));
    assert_eq!(files(&folder.join("common"), ".cuh"), listed(HEADERS));
}

#[test]
#[expect(clippy::print_stderr, reason = "whoever reads the tests' output should know")]
fn every_source_compiles_alone_and_no_kernel_spills() {
    let logs = thread::scope(|scope| {
        let threads = ARCHITECTURES.map(|architecture| scope.spawn(move || logs(architecture)));
        threads.map(|thread| thread.join().unwrap())
    });
    let mut table = BTreeMap::new();
    for (column, logs) in logs.into_iter().enumerate() {
        let logs = match logs {
            Ok(logs) => logs,
            Err(error @ Error::NoNvrtc { .. }) => {
                let required = env::var(REQUIRED).is_ok_and(|value| value == "1");
                assert!(!required, "{REQUIRED} is 1: {error}");
                return eprintln!("skipped: {error}");
            }
            Err(error) => panic!("{error}"),
        };
        for (source, log) in SOURCES.iter().zip(logs) {
            let kernels = figures(&log);
            assert!(!kernels.is_empty(), "{}: {log}", source.name);
            for (kernel, figures) in kernels {
                let architecture = ARCHITECTURES[column];
                let what = format!("{kernel} of {} for {architecture}: {figures:?}", source.name);
                assert!(figures.spilled == 0, "{what}");
                let row: &mut [Figures; 2] =
                    table.entry((source.name, without_type(&kernel))).or_default();
                let worst = &mut row[column];
                worst.registers = worst.registers.max(figures.registers);
                worst.shared = worst.shared.max(figures.shared);
                worst.spilled = worst.spilled.max(figures.spilled);
            }
        }
    }
    if let Ok(file) = env::var("NASRL_KERNEL_TABLE") {
        fs::write(file, written(&table)).unwrap();
    }
}

/// What the compiler says of each of the sources.
fn logs(architecture: &str) -> Result<Vec<String>, Error> {
    let compiled = SOURCES.iter().map(|source| compile(source.name, source.text, architecture));
    compiled.map(|compiled| compiled.map(|compiled| compiled.log)).collect()
}

/// The figures in a log of `ptxas -v`, whose lines on a kernel begin with its name.
fn figures(log: &str) -> BTreeMap<String, Figures> {
    let mut kernels: BTreeMap<String, Figures> = BTreeMap::new();
    let mut kernel = None;
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            kernel = rest.split_once('\'').map(|(name, _)| name.to_owned());
        }
        let Some(kernel) = &kernel else { continue };
        let number = |before: &str| -> Option<u32> {
            let (start, _) = line.split_once(before)?;
            start.trim_end().rsplit([' ', ',']).next()?.parse().ok()
        };
        let figures = kernels.entry(kernel.clone()).or_default();
        figures.registers = number(" registers").unwrap_or(figures.registers);
        figures.shared = number(" bytes smem").unwrap_or(figures.shared);
        figures.spilled = number(" bytes spill stores").unwrap_or(figures.spilled);
    }
    kernels
}

fn without_type(kernel: &str) -> String {
    let types = ["_f32", "_bf16", "_f16"];
    types.iter().find_map(|end| kernel.strip_suffix(end)).unwrap_or(kernel).to_owned()
}

fn written(table: &BTreeMap<(&str, String), [Figures; 2]>) -> String {
    let mut text = String::from(
        "# What ptxas says of the kernels\n\n\
         Registers of a thread, bytes of static shared memory and bytes spilled, the most of a \
         kernel's types; made by `NASRL_KERNEL_TABLE=$PWD/kernels/registers.md cargo test -p \
         nasrl-tests --test kernels_compile`.\n\n\
         | kernel | registers sm_80 | sm_90a | shared | spilled sm_80 | sm_90a |\n\
         |---|---|---|---|---|---|\n",
    );
    for ((_, kernel), [first, second]) in table {
        let cells = [
            first.registers,
            second.registers,
            first.shared.max(second.shared),
            first.spilled,
            second.spilled,
        ];
        let cells = cells.map(|figure| figure.to_string()).join(" | ");
        writeln!(text, "| {kernel} | {cells} |").unwrap();
    }
    text
}
