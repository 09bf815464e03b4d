//! The program on a machine with two GPUs, which the emulator plays.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use crate::support::{Place, column, printed, write_images};

const SPACE: &str = "
name = \"tiny\"
[layers]
count = 2
kernel = [1, 3]
filters = [4, 8]
stride = 2
";

const SEARCH: &str = "search --space tiny.toml --data images --jobs 2 --trials 4 \
    --set recipe.epochs=1 --set recipe.batch=16 --set retrain-epochs=1 --set baseline=none";

/// The library that cargo builds as a dependency of the tests, beside them.
fn emulated_gpus() -> PathBuf {
    let library = env::current_exe().unwrap().with_file_name("libnasrl_emulated_gpus.so");
    assert!(library.exists(), "no {}", library.display());
    library
}

fn on_two_gpus(place: &Place, arguments: &str) -> Command {
    let mut command = place.command(arguments);
    command.env("LD_PRELOAD", emulated_gpus());
    command
}

fn expect(code: i32, mut command: Command, words: &[&str]) {
    let output = command.output().unwrap();
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(code), "{printed}");
    for word in words {
        assert!(printed.contains(word), "{word:?} is missing from\n{printed}");
    }
}

#[test]
fn doctor_tells_of_the_gpus() {
    let place = Place::new();
    let words = ["13.0", "cuda:0", "cuda:1", "can be trained by --device cuda and"];
    expect(0, on_two_gpus(&place, "doctor"), &words);
}

#[test]
fn a_search_that_loses_its_gpu_ends_with_1_and_is_resumed() {
    let place = Place::new();
    write_images(&place);
    place.write("tiny.toml", SPACE);
    let mut losing = on_two_gpus(&place, &format!("{SEARCH} --device cuda --out run"));
    // One that children launch and the controller does not.
    losing.env("NASRL_FAIL_LAUNCH", "conv2d_pack_f32");
    let words = ["error: ", "ILLEGAL_ADDRESS", "nasrl search --resume run"];
    expect(1, losing, &words);
    expect(0, on_two_gpus(&place, "search --resume run"), &["test accuracy"]);
    let trials = place.trials("run");
    assert_eq!(column(&trials, "status"), ["done"; 4]);
    // Neither that one was lost nor that there is another one shows.
    let on_both = on_two_gpus(&place, &format!("{SEARCH} --device cuda:all --out both"));
    expect(0, on_both, &["test accuracy"]);
    assert_eq!(trials, place.trials("both"));
    let table = fs::read_to_string(place.path("both/trials.csv")).unwrap();
    for gpu in ["cuda:0 (", "cuda:1 ("] {
        assert!(table.contains(gpu), "{gpu} is not in\n{table}");
    }
}
