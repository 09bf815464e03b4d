//! What all other tests execute: every kernel, and nearly every line.
//!
//! With `NASRL_COVERAGE_TABLE=<file>` the lines are written there, which is how
//! `kernels/coverage.md` is made.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::{env, fs};

use nasrl_cuda_emulator::FileCoverage;
use nasrl_kernels::SOURCES;
use nasrl_tests::Executed;

use crate::backends;

/// Least share of a file's lines, in percent.
const LEAST: usize = 95;

#[test]
fn every_kernel_and_nearly_every_line_is_executed() {
    if backends().is_empty() {
        return;
    }
    let Executed { kernels, files } = Executed::by_all_tests_but("coverage::");
    if let Ok(file) = env::var("NASRL_COVERAGE_TABLE") {
        fs::write(file, written(&files)).unwrap();
    }
    let idle: Vec<_> = kernels.iter().filter(|kernel| kernel.executed == 0).collect();
    assert!(idle.is_empty(), "{idle:?}");
    let covered: BTreeSet<&str> = files.iter().map(|file| file.file.as_str()).collect();
    let every = SOURCES.iter().map(|source| source.name);
    let unused: Vec<_> = every.filter(|name| !covered.contains(name)).collect();
    assert!(unused.is_empty(), "{unused:?} of {covered:?}");
    for FileCoverage { file, lines } in &files {
        let missed = missed(lines.iter());
        assert!(missed.len() * 100 <= lines.len() * (100 - LEAST), "{file}: lines {missed:?}");
    }
}

fn missed<'a>(lines: impl Iterator<Item = (&'a u32, &'a u64)>) -> Vec<u32> {
    lines.filter(|(_, count)| **count == 0).map(|(line, _)| *line).collect()
}

fn written(files: &[FileCoverage]) -> String {
    let mut text = String::from(
        "# Which lines of the kernels are executed\n\n\
         Lines with code, and those of them that the operations' tests execute on the emulator, \
         which does not compile what is for a GPU only; made by \
         `NASRL_COVERAGE_TABLE=$PWD/kernels/coverage.md cargo test -p nasrl-tests --test \
         ops_emulated coverage`.\n\n\
         | file | lines | executed | not executed |\n|---|---|---|---|\n",
    );
    for FileCoverage { file, lines } in files {
        let missed = missed(lines.iter());
        let executed = 100.0 * (lines.len() - missed.len()) as f64 / lines.len() as f64;
        let numbers: Vec<String> = missed.iter().map(u32::to_string).collect();
        let numbers = numbers.join(", ");
        writeln!(text, "| {file} | {} | {executed:.1} % | {numbers} |", lines.len()).unwrap();
    }
    text
}
