//! A search whose GPU is lost, and its resumption: in processes of their own, as a GPU that was
//! lost is lost for the whole process.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

#[path = "children_emulated/tiny_search.rs"]
mod tiny_search;

use std::env;
use std::path::Path;
use std::process::Command;

use nasrl_cuda_emulator::{Emulator, Options, install};
use nasrl_search::scheduler::{Listener, ListenerError, SearchError};
use nasrl_search::{Proposed, Trial};

/// Tells the process that is to lose its GPU where it searches, and how many jobs it has.
const FOLDER: &str = "NASRL_TEST_FOLDER";
const JOBS: &str = "NASRL_TEST_JOBS";

/// The trial during which a kernel fails.
const LOST: u64 = 3;

struct Fault;

impl Listener for Fault {
    fn started(&mut self, proposed: &Proposed) -> Result<(), ListenerError> {
        if proposed.trial == LOST {
            // One that children launch and the controller does not.
            emulator().fail_launch("conv2d_pack_f32", 700);
        }
        Ok(())
    }
}

fn emulator() -> &'static Emulator {
    install(&Options { print: false, ..Options::default() }).unwrap()
}

#[test]
fn a_lost_device_ends_a_search_that_another_process_resumes() {
    emulator();
    if let (Some(folder), Ok(jobs)) = (env::var_os(FOLDER), env::var(JOBS)) {
        return lose_the_device(Path::new(&folder), jobs.parse().unwrap());
    }
    for jobs in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        tiny_search::prepare(folder, [4, 8]);
        let loser = Command::new(env::current_exe().unwrap())
            .env(FOLDER, folder)
            .env(JOBS, jobs.to_string())
            .output()
            .unwrap();
        assert!(loser.status.success(), "{}", String::from_utf8_lossy(&loser.stdout));
        let table = std::fs::read_to_string(folder.join("run/trials.csv")).unwrap();
        let recorded = table.lines().count() - 1;
        assert!((2..=LOST as usize).contains(&recorded), "{table}");
        let results = |name| -> Vec<_> {
            let fields = |it: Trial| (it.proposed.tokens, it.status, it.reward, it.detail);
            tiny_search::trials((folder, name), ("cuda", jobs)).into_iter().map(fields).collect()
        };
        let (resumed, whole) = (results("run"), results("whole"));
        assert_eq!(resumed.len(), 6);
        assert_eq!(resumed, whole);
    }
}

fn lose_the_device(folder: &Path, jobs: usize) {
    let error = tiny_search::run((folder, "run"), ("cuda", jobs), &mut Fault).unwrap_err();
    match &error {
        SearchError::Evaluator { reason, .. } => {
            for word in ["cuda:0 (", "was lost", "ILLEGAL_ADDRESS", "CUDA_LAUNCH_BLOCKING=1"] {
                assert!(reason.contains(word), "no {word} in {reason}");
            }
        }
        // The controller, which is on the same GPU, may be the first to notice.
        SearchError::Strategy(error) if jobs > 1 => {
            assert!(error.to_string().contains("ILLEGAL_ADDRESS"), "{error}");
        }
        other => panic!("{other}"),
    }
}
