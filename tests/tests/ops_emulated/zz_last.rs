//! What can be said after all other tests, which one thread runs in the order of their names.

use std::collections::BTreeSet;
use std::env;

use nasrl_cuda_emulator::install;
use nasrl_kernels::SOURCES;

#[test]
fn every_kernel_was_executed() {
    if env::var_os("NASRL_EVERY_KERNEL").is_none_or(|value| value != "1") {
        return;
    }
    let kernels = install(&super::OPTIONS()).unwrap().kernels();
    let idle: Vec<_> = kernels.iter().filter(|kernel| kernel.executed == 0).collect();
    assert!(idle.is_empty(), "{idle:?}");
    let compiled: BTreeSet<&str> = kernels.iter().map(|kernel| kernel.module.as_str()).collect();
    let unused: Vec<_> =
        SOURCES.iter().map(|source| source.name).filter(|name| !compiled.contains(name)).collect();
    assert!(unused.is_empty(), "{unused:?} of {compiled:?}");
}
