//! What holds of the source tree as a whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A file that is longer holds more than one idea.
const LONGEST: usize = 500;

#[test]
fn no_file_is_too_long_to_hold_in_the_head() {
    for file in sources(&root()) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= LONGEST, "{} has {lines} lines; divide it", file.display());
    }
}

#[test]
fn an_operation_has_one_name_everywhere() {
    let operations: BTreeSet<String> = stems("crates/tensor/src/ops")
        .into_iter()
        .filter(|stem| !["check", "mod", "padding", "rows"].contains(&stem.as_str()))
        .collect();
    assert!(operations.len() > 15, "{operations:?}");
    for folder in [
        "crates/tensor/src/cpu",
        "crates/tensor/src/cuda",
        "tests/tests/ops",
        "benches/src/operations",
    ] {
        let missing: Vec<_> = operations.difference(&stems(folder)).cloned().collect();
        assert!(missing.is_empty(), "{folder} has no file for {missing:?}");
    }
    // A convolution's kernels are in several files, which begin with its name.
    let kernels = stems("kernels");
    let kernel_of = |name: &String| kernels.iter().any(|stem| stem.starts_with(name));
    let missing: Vec<_> = operations.iter().filter(|name| !kernel_of(name)).collect();
    assert!(missing.is_empty(), "kernels has no file for {missing:?}");
}

#[test]
fn a_crate_knows_only_those_before_it() {
    let may_know: [(&str, &[&str]); 5] = [
        ("tensor", &["kernels"]),
        ("space", &[]),
        ("controller", &["tensor", "space"]),
        ("child", &["tensor", "space"]),
        ("search", &["tensor", "space", "controller", "child"]),
    ];
    for (name, known) in may_know {
        let manifest = root().join("crates").join(name).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).unwrap();
        let (dependencies, _) =
            manifest.split_once("[dev-dependencies]").unwrap_or((&manifest, ""));
        for other in ["kernels", "tensor", "space", "controller", "child", "search"] {
            let depends = dependencies.contains(&format!("\nnasrl-{other}."));
            assert!(!depends || known.contains(&other), "{name} must not know {other}");
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files of Rust and C++ in a folder and the folders in it, build output apart.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files.extend(sources(&path));
        } else if [".rs", ".cu", ".cuh", ".h"].iter().any(|end| name.ends_with(end)) {
            files.push(path);
        }
    }
    files
}

/// The names of the Rust files and of the modules that are folders.
fn stems(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    entries
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}
