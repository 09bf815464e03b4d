//! A search whose children and controller compute on the emulated GPU.

use nasrl_search::{Status, Trial};
use nasrl_tests::emulated;

use crate::tiny_search::{prepare, trials};

#[test]
fn a_search_finds_on_the_gpu_what_it_finds_on_the_processor() {
    if emulated().is_empty() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder, [4, 8]);
    let expected = trials((folder, "cpu"), ("cpu", 1));
    assert_eq!(expected.len(), 6);
    for (name, device, jobs) in [("one", "cuda", 1), ("two", "cuda", 2), ("all", "cuda:all", 2)] {
        let found = trials((folder, name), (device, jobs));
        for (found, expected) in found.iter().zip(&expected) {
            let of = |trial: &Trial| (trial.status, trial.proposed.tokens.clone(), trial.reward);
            assert_eq!(of(found), of(expected), "{device}, {jobs} jobs");
            assert_eq!(found.status, Status::Done);
            let device = found.clock.evaluated_on.as_deref().unwrap();
            assert!(device.starts_with("cuda:"), "{device}");
        }
        assert_eq!(found.len(), expected.len());
    }
}
