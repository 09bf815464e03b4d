//! Searches that train children on the embedded images.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use nasrl_tensor::random::{Key, Philox};
use serde_json::Value;

use crate::support::{Place, column};

/// A space of networks so small that they train in a fraction of a second.
const TINY: &str = "
name = \"tiny\"
[layers]
count = 2
kernel = [1, 3]
filters = [2, 4]
stride = 4
";

const SEARCH: &str = "search --space tiny.toml --set recipe.epochs=1 --set retrain-epochs=1";

fn place() -> Place {
    let place = Place::new();
    place.write("tiny.toml", TINY);
    place
}

#[test]
fn jobs_and_threads_do_not_show() {
    let place = place();
    for (run, options) in [
        ("a", "--jobs 1 --threads 1"),
        ("b", "--jobs 2 --threads 2"),
        ("c", "--jobs 4 --threads 1"),
    ] {
        place.expect(0, &format!("{SEARCH} --trials 5 {options} --out {run}"));
        assert_eq!(place.trials(run), place.trials("a"), "{options}");
    }
    let trials = place.trials("a");
    assert_eq!(trials.len(), 11);
    let accuracies: Vec<f64> =
        column(&trials, "validation_accuracy").iter().map(|text| text.parse().unwrap()).collect();
    assert!(accuracies.iter().all(|accuracy| (0.0..=1.0).contains(accuracy)), "{accuracies:?}");
    assert_eq!(column(&trials, "validation_accuracy"), column(&trials, "reward"));
}

#[test]
fn a_search_ends_with_a_tested_child() {
    let place = place();
    let words = [
        "is trained anew",
        "anew for 1 epoch: ",
        "test accuracy",
        "rl less random",
        "conv 3x3",
        "parameters",
    ];
    place.expect_words(0, &format!("{SEARCH} --trials 8 --out run"), &words);
    let trials = place.trials("run");
    let [status, reward] = ["status", "reward"].map(|name| column(&trials, name));
    let mut ranking: Vec<usize> = (0..16).filter(|&trial| status[trial] == "done").collect();
    let number = |trial: usize| reward[trial].parse::<f64>().unwrap();
    ranking.sort_by(|&a, &b| number(b).total_cmp(&number(a)).then(a.cmp(&b)));
    let mut expected: Vec<String> =
        ranking.iter().take(10).map(|trial| format!("trial-{trial:05}.safetensors")).collect();
    expected.sort_unstable();
    let names = |folder: &str| {
        let entries = fs::read_dir(place.path(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names("run/best"), expected);
    let winner = format!("trial-{:05}.safetensors", ranking[0]);
    assert_eq!(names("run/retrained"), [winner]);
    place.expect_words(0, &format!("show run {}", ranking[0]), &["epoch", "images/s", "weights"]);

    let retrain = |options: &str| -> Value {
        let printed = place.expect(0, &format!("retrain run --json {options}"));
        serde_json::from_str(&printed).unwrap()
    };
    let best = retrain("--trial best --threads 1");
    assert_eq!(best["trial"], ranking[0]);
    assert!(best["test_accuracy"].as_f64().unwrap() > 0.1);
    assert_eq!(retrain(&format!("--trial {} --threads 2", ranking[0])), best);
    place.expect_words(2, "retrain run --trial 99", &["no result of trial 99"]);
    place.expect_words(2, "retrain run --threads 0", &["1..=4096"]);
    let config = fs::read_to_string(place.path("run/config.toml")).unwrap();
    place.write("run/config.toml", &config.replace("batch = 128", "batch = 64"));
    place.expect_words(2, "retrain run", &["config.toml was changed", "restore it"]);
}

#[test]
fn killed_while_training_it_is_as_if_nothing_had_happened() {
    let place = place();
    place.expect(0, &format!("{SEARCH} --trials 5 --epochs 2 --lag 1 --out whole"));
    let begin = format!("{SEARCH} --trials 5 --epochs 2 --lag 1 --jobs 2 --out killed");
    let mut instants = Philox::new(Key::new(12, 0, "kill"));
    for _ in 0..6 {
        let began = place.path("killed").exists();
        let mut process = place.spawn(if began { "search --resume killed" } else { &begin });
        sleep(Duration::from_millis(u64::from(150 + instants.below(400))));
        process.kill().unwrap();
        process.wait().unwrap();
    }
    if place.path("killed").exists() {
        place.expect(0, "search --resume killed --jobs 1");
    } else {
        place.expect(0, &begin);
    }
    assert_eq!(place.trials("killed"), place.trials("whole"));
}

#[test]
fn children_that_diverge_are_failed_trials() {
    let place = place();
    let diverge = "--trials 2 --baseline none --set recipe.learning-rate=1e30 --out run";
    place.expect_words(0, &format!("{SEARCH} {diverge}"), &["No trial has a result"]);
    let trials = place.trials("run");
    assert_eq!(column(&trials, "status"), ["nan", "nan"]);
    assert_eq!(column(&trials, "reward"), ["0", "0"]);
    assert_eq!(column(&trials, "validation_accuracy"), ["", ""]);
    place.expect_words(0, "show run 0", &["nan", "smaller learning rate"]);
}

#[test]
fn tokens_without_a_network_are_failed_trials() {
    let place = place();
    let kernels = "name = \"large\"\n[layers]\ncount = 1\nkernel = [3, 40]\nfilters = [2, 4]\n\
                   padding = \"valid\"\nstride = 4\n";
    place.write("large.toml", kernels);
    let search = "search --space large.toml --trials 4 --epochs 1 --baseline none --out run";
    place.expect(0, &format!("{search} --set retrain-epochs=1"));
    let trials = place.trials("run");
    let mut status = column(&trials, "status");
    status.sort_unstable();
    assert_eq!(status, ["done", "done", "invalid", "invalid"]);
}

/// Weights and gradients of 37 terabytes and more.
#[test]
fn networks_beyond_the_memory_are_failed_trials() {
    let place = place();
    place.write("huge.toml", &TINY.replace("[2, 4]", "[65536]").replace("[1, 3]", "[33, 35]"));
    let search = "search --space huge.toml --strategy random --trials 2 --epochs 1 --out run";
    place.expect_words(0, search, &["No trial has a result"]);
    let trials = place.trials("run");
    assert_eq!(column(&trials, "status"), ["too_large", "too_large"]);
    place.expect_words(0, "show run 1", &["training takes", "out of the space"]);
}

#[test]
fn one_child_can_be_trained_alone() {
    let place = place();
    let train = "train --space tiny.toml --tokens 3,4,1,2 --epochs 2 --batch 100 --seed 3 --json";
    let last = |options: &str| -> Value {
        let printed = place.expect(0, &format!("{train} {options}"));
        assert!(printed.contains("epoch 1: loss "), "{printed}");
        serde_json::from_str(printed.lines().last().unwrap()).unwrap()
    };
    let without_clock = |mut report: Value| {
        assert!(report["images_per_second"].take().as_f64().unwrap() > 0.0);
        report
    };
    let whole = without_clock(last("--threads 2 --log-every 20 --save a.safetensors"));
    assert_eq!(whole["losses"].as_array().unwrap().len(), 8);
    assert!(whole["validation_accuracy"].is_f64() && whole["test_accuracy"].is_f64());
    assert_eq!(without_clock(last("--threads 1 --log-every 20")), whole);
    assert!(last("--validation 0")["validation_accuracy"].is_null());
    assert_eq!(last("--steps 5 --log-every 1 --no-shuffle")["losses"].as_array().unwrap().len(), 5);
    // No step at all leaves the weights as they were, and their accuracies with them.
    let loaded = last("--weights a.safetensors --steps 1 --set recipe.learning-rate=0");
    assert_eq!(loaded["test_accuracy"], whole["test_accuracy"]);
    assert_eq!(loaded["validation_accuracy"], whole["validation_accuracy"]);
    let other = "train --space tiny.toml --tokens 3,4,3,4 --weights a.safetensors";
    place.expect_words(2, other, &["a.safetensors", "layer2.conv.weight"]);
    place.expect_words(2, "train --tokens 3,64", &["found 2 tokens", "8 decisions"]);
    place.expect_words(2, &format!("{train} --precision f64"), &["f64", "bf16"]);
    for threads in ["0", "100000"] {
        let words = ["--threads", threads, "1..=4096"];
        place.expect_words(2, &format!("{train} --threads {threads}"), &words);
    }
    // Before the training, not after it.
    for (save, reason) in [("nowhere/b.safetensors", "No such file"), (".", "directory")] {
        let printed = place.expect(2, &format!("{train} --save {save}"));
        assert!(printed.contains(save) && printed.contains(reason), "{printed}");
        assert!(!printed.contains("epoch 1"), "{printed}");
    }
    let before = fs::read(place.path("a.safetensors")).unwrap();
    place.expect(2, &format!("{train} --save a.safetensors --weights nothing"));
    assert_eq!(fs::read(place.path("a.safetensors")).unwrap(), before);
}

#[test]
fn training_speed_is_measured() {
    let place = place();
    for (options, mode) in [("", "f32"), ("--precision bf16 --batch-norm --jobs 2", "bf16")] {
        let bench = "bench child --space tiny.toml --child 3,4,1,2 --steps 2 --repeats 3";
        let printed = place.expect(0, &format!("{bench} --batch 16 --threads 1 {options}"));
        let line: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!((&line["child"], &line["mode"]), (&"3,4,1,2".into(), &mode.into()));
        assert_eq!(line["batch_norm"], !options.is_empty());
        assert!(line["images_per_second"].as_f64().unwrap() > 0.0);
    }
    let bench = "bench child --child 1,16,1,16,1,16,1,16";
    place.expect_words(2, &format!("{bench} --jobs 1000000"), &["--jobs", "1..=4096"]);
    place.expect_words(2, &format!("{bench} --threads 0"), &["--threads", "1..=4096"]);
    let words = ["--jobs times --threads is 4200", "at most 4096"];
    place.expect_words(2, &format!("{bench} --jobs 42 --threads 100"), &words);
}
