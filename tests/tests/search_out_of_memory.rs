//! Searches and trainings on a GPU whose memory does not suffice: a process of its own, as the
//! emulated GPU's memory is small.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

#[path = "children_emulated/tiny_search.rs"]
mod tiny_search;

use std::thread::sleep;
use std::time::{Duration, Instant};

use nasrl_cuda_emulator::{Emulator, Options, install};
use nasrl_search::run::RunRecord;
use nasrl_search::{Failure, Status};
use nasrl_tensor::Cuda;

const MEMORY: usize = 24 << 20;

fn emulator() -> &'static Emulator {
    install(&Options { memory: MEMORY, print: false, ..Options::default() }).unwrap()
}

/// The few filters fit, the many do not.
const FILTERS: [usize; 2] = [4, 1024];

#[test]
fn children_that_do_not_fit_fail_and_the_search_goes_on() {
    emulator();
    let of_a_stream = Cuda::new(0).unwrap().memory().unwrap().pool_used;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tiny_search::prepare(folder, FILTERS);
    let trials = tiny_search::trials((folder, "run"), ("cuda", 1));
    assert_eq!(trials.len(), 6);
    let (failed, done): (Vec<_>, Vec<_>) = trials
        .iter()
        .filter(|trial| trial.status != Status::Duplicate)
        .partition(|trial| trial.status == Status::Failed(Failure::OutOfMemory));
    assert!(!failed.is_empty() && !done.is_empty(), "{trials:#?}");
    assert!(done.iter().all(|trial| trial.status == Status::Done), "{done:#?}");
    for trial in failed {
        let detail = trial.detail.as_deref().unwrap();
        for word in ["cuda:0 (", "bytes asked for", "are free", "the pool holds", "smaller batch"] {
            assert!(detail.contains(word), "no {word} in {detail}");
        }
    }
    // The record says the same.
    assert_eq!(RunRecord::read(&folder.join("run")).unwrap().trials, trials);
    // Nothing of the children, nor of their streams, is left.
    let gpu = Cuda::new(0).unwrap();
    let used = || gpu.memory().unwrap().pool_used;
    let started = Instant::now();
    while used() > of_a_stream && started.elapsed() < Duration::from_secs(10) {
        // A stream frees what it was asked to free when it gets there.
        sleep(Duration::from_millis(1));
    }
    assert_eq!(used(), of_a_stream);
}
