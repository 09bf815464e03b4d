//! Training a child anew, stopped and killed on the way.

use std::process::{Child, Command};

use serde_json::Value;

use crate::support::{Place, printed};

const TINY: &str = "
name = \"tiny\"
[layers]
count = 2
kernel = [1, 3]
filters = [2, 4]
stride = 4
";

const SEARCH: &str = "search --space tiny.toml --set recipe.epochs=1 --set retrain-epochs=1 \
                      --baseline none --trials 2";
const RETRAIN: &str = "--trial 1 --epochs 30 --json";
const CHECKPOINT: &str = "trial-00001-of-30-epochs.checkpoint";

fn end(mut process: Child, signal: &str) -> Option<i32> {
    let id = process.id().to_string();
    assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    process.wait().unwrap().code()
}

#[test]
fn stopped_and_killed_it_goes_on_at_its_last_full_epoch() {
    let place = Place::new();
    place.write("tiny.toml", TINY);
    for run in ["whole", "run"] {
        place.expect(0, &format!("{SEARCH} --out {run}"));
    }
    let retrain = |run: &str| -> Value {
        serde_json::from_str(&place.expect(0, &format!("retrain {run} {RETRAIN}"))).unwrap()
    };
    let whole = retrain("whole");

    let kept = format!("run/retrained/{CHECKPOINT}");
    for (signal, code) in [("INT", Some(3)), ("KILL", None)] {
        let process = place.spawn(&format!("retrain run {RETRAIN}"));
        place.wait_for(&kept);
        assert_eq!(end(process, signal), code);
        assert!(place.path(&kept).exists());
    }
    assert_eq!(retrain("run"), whole);
    assert!(!place.path(&kept).exists());
    let weights = |run: &str| {
        let name = CHECKPOINT.replace("-of-30-epochs.checkpoint", ".safetensors");
        std::fs::read(place.path(&format!("{run}/retrained/{name}"))).unwrap()
    };
    assert_eq!(weights("run"), weights("whole"));
}

/// What is left of another version, or of another recipe, is no reason to refuse.
#[test]
fn a_checkpoint_that_does_not_fit_is_not_used() {
    let place = Place::new();
    place.write("tiny.toml", TINY);
    place.expect(0, &format!("{SEARCH} --out run"));
    let retrain = || place.run("retrain run --trial 1 --epochs 2 --json");
    let expected = printed(&retrain());
    let kept = "run/retrained/trial-00001-of-2-epochs.checkpoint";
    place.write(kept, "no checkpoint");
    assert_eq!(printed(&retrain()), expected);
    assert!(!place.path(kept).exists());
}
