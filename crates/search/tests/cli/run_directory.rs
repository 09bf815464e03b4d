//! Runs that are there already, in use, of another search, or in impossible places.

use std::fs;

use crate::support::{Place, printed};

#[test]
fn a_run_is_only_replaced_by_force() {
    let place = Place::new();
    place.expect(0, "search --table table.csv --seed 1 --out run");
    let first = place.trials("run");
    let words = ["run is a run already", "--resume run", "--force"];
    place.expect_words(2, "search --table table.csv --seed 2 --out run", &words);
    assert_eq!(place.trials("run"), first);
    place.expect_words(2, "search --resume run --force", &["cannot be used with"]);
    // A new run that cannot be made does not cost the old one.
    place.write(".run.partial", "in the way");
    let force = "search --table table.csv --seed 2 --out run --force";
    place.expect_words(2, force, &["cannot remove .run.partial"]);
    assert_eq!(place.trials("run"), first);
    fs::remove_file(place.path(".run.partial")).unwrap();
    place.expect(0, force);
    assert_ne!(place.trials("run"), first);
}

#[test]
fn two_processes_cannot_begin_the_same_run() {
    let place = Place::new();
    fs::create_dir(place.path(".run.partial")).unwrap();
    let lock = fs::File::create(place.path(".run.partial/lock")).unwrap();
    lock.lock().unwrap();
    let words = [".run.partial is in use by process"];
    place.expect_words(2, "search --table table.csv --out run", &words);
    assert!(place.path(".run.partial/lock").exists());
    drop(lock);
    place.expect(0, "search --table table.csv --out run");
}

#[test]
fn other_things_are_never_replaced() {
    let place = Place::new();
    fs::create_dir(place.path("holiday")).unwrap();
    place.write("holiday/photo.jpg", "a beach");
    let words = ["holiday holds \"photo.jpg\"", "choose another --out"];
    place.expect_words(2, "search --table table.csv --out holiday", &words);
    place.expect_words(2, "search --table table.csv --out holiday --force", &words);
    place.expect(0, "search --table table.csv --out run");
    place.write("run/notes.txt", "mine");
    let words = ["run holds \"notes.txt\""];
    place.expect_words(2, "search --table table.csv --out run --force", &words);
    place.write("run/best/notes.txt", "mine");
    place.expect(0, "search --resume run");
    assert!(place.path("run/best/notes.txt").exists());
    fs::rename(place.path("run/notes.txt"), place.path("run/notes.partial")).unwrap();
    let words = ["run holds \"notes.partial\""];
    place.expect_words(2, "search --table table.csv --out run --force", &words);
}

#[test]
fn an_empty_directory_will_do() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    place.expect(0, "search --table table.csv --out empty");
    assert_eq!(place.trials("empty").len(), 53);
    // What SQLite would take for a URI.
    place.expect(0, "search --table table.csv --trials 3 --out file:a?b/run");
    place.expect(0, "show file:a?b/run");
    fs::create_dir(place.path("here")).unwrap();
    let mut command = place.command("search --table ../table.csv --out .");
    let output = command.current_dir(place.path("here")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(printed(&output).contains("cannot create .: "), "{}", printed(&output));
    assert!(printed(&output).contains("choose one inside it"), "{}", printed(&output));
}

#[test]
fn impossible_places_are_refused() {
    let place = Place::new();
    place.write("file", "");
    place.expect_words(2, "search --table table.csv --out file", &["file is not a directory"]);
    let words = ["file/run", "a part of the path is a file"];
    place.expect_words(2, "search --table table.csv --out file/run", &words);
    place.expect_words(2, "search --table table.csv --out /proc/run", &["cannot create /proc/"]);
    let long = format!("search --table table.csv --out new/folder/{}", "a".repeat(250));
    place.expect_words(2, &long, &["new/folder/.aaaa", "too long"]);
    assert_eq!(fs::read_dir(place.path(".")).unwrap().count(), 2);
}

#[test]
fn a_disk_that_is_full_loses_nothing() {
    let place = Place::new();
    let search = "search --table table.csv --trials 30";
    place.expect(0, &format!("{search} --out whole"));
    place.expect(0, &format!("{search} --out run --max-time 0s"));
    fs::remove_file(place.path("run/search.log")).unwrap();
    std::os::unix::fs::symlink("/dev/full", place.path("run/search.log")).unwrap();
    let words = ["cannot write run/search.log", "make room", "nasrl search --resume run"];
    place.expect_words(1, "search --resume run", &words);
    fs::remove_file(place.path("run/search.log")).unwrap();
    place.expect(0, "search --resume run");
    assert_eq!(place.trials("run"), place.trials("whole"));
}

#[test]
fn a_run_has_one_process() {
    let place = Place::new();
    let search = "search --table table.csv --set table.seconds-per-trial=60 --out run";
    let mut process = place.spawn(search);
    place.wait_for("run");
    let words = [&format!("run is in use by process {}", process.id()), "wait for it"];
    place.expect_words(2, "search --resume run", &words);
    place.expect_words(2, "search --table table.csv --out run --force", &words);
    while !place.expect(0, "show run").contains("Trial 0 is under way") {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    place.expect_words(0, "show run", &["the run goes on"]);
    process.kill().unwrap();
    process.wait().unwrap();
    place.expect_words(0, "show run", &["Trial 0 is under way", "No trial has a result"]);
    place.expect(0, "search --resume run --max-time 0s");
}

#[test]
fn resuming_another_search_is_refused() {
    let place = Place::new();
    place.expect(0, "search --table table.csv --out run --max-time 0s");
    let words = ["begun with trials = 26, not 99", "start a new run with --out"];
    place.expect_words(2, "search --resume run --trials 99", &words);
    place.expect_words(2, "search --resume run --seed 3", &["begun with seed = 0, not 3"]);
    place.expect_words(2, "search --resume run --preset paper", &["default"]);
    place.write("other.csv", "a,b,reward\n0,0,0.5\n0,1,0.25\n");
    let words = ["run of the space table, not of this space other", "start a new run"];
    place.expect_words(2, "search --resume run --table other.csv", &words);

    let rows = fs::read_to_string(place.path("table.csv")).unwrap();
    place.write("table.csv", &rows.replace("0.28125", "0.75"));
    let words = ["table.csv is not the one", "digest"];
    place.expect_words(2, "search --resume run", &words);
    place.write("table.csv", &rows);

    let config = fs::read_to_string(place.path("run/config.toml")).unwrap();
    place.write("run/config.toml", &config.replace("trials = 26", "trials = 27"));
    place.expect_words(2, "search --resume run", &["config.toml was changed", "restore it"]);
    place.write("run/config.toml", &config);
    place.expect(0, "search --resume run --jobs 3 --threads 2");
}

#[test]
fn what_is_no_run_is_not_resumed() {
    let place = Place::new();
    place.expect_words(2, "search --resume nowhere", &["nowhere is not a run", "config.toml"]);
    place.expect(0, "search --table table.csv --out run --max-time 0s");
    place
        .write("run/ledger.sqlite", "this is not a database, although it is long enough to be one");
    place.expect_words(2, "search --resume run", &["ledger.sqlite", "damaged"]);
    place.expect_words(2, "show run", &["ledger.sqlite", "damaged"]);
    fs::remove_file(place.path("run/ledger.sqlite")).unwrap();
    place.expect_words(2, "search --resume run", &["there is no ledger.sqlite in it"]);
}

#[test]
fn a_run_from_the_configuration_of_another_is_the_same() {
    let place = Place::new();
    place.expect(0, "search --table table.csv --seed 9 --trials 15 --preset paper --out a");
    place.expect(0, "search --config a/config.toml --out b");
    let read = |run: &str| fs::read_to_string(place.path(run).join("config.toml")).unwrap();
    assert_eq!(read("a"), read("b"));
    assert_eq!(place.trials("a"), place.trials("b"));
}

#[test]
fn trials_can_be_looked_at() {
    let place = Place::new();
    place.expect(0, "search --table table.csv --out run");
    let words = ["Best architectures", "mean reward", "rl less random", "The policy", "Finished"];
    place.expect_words(0, "show run", &words);
    place.expect_words(0, "show run 3", &["status", "done", "architecture", "width="]);
    place.expect_words(2, "show run 52", &["no result of trial 52", "numbered up to 51"]);
    place.expect_words(2, "retrain run --trial best", &["rewards from a table"]);
}

/// Each line of the table of the policy: a decision, and its values with their probabilities, which
/// add up to 1.
#[test]
fn the_policy_can_be_looked_at() {
    let place = Place::new();
    place.expect(0, "search --table table.csv --out run");
    let policy = |run: &str| -> Vec<String> {
        let printed = place.expect(0, &format!("show {run}"));
        let lines = printed.lines().skip_while(|line| !line.starts_with("The policy"));
        lines.skip(2).map(str::to_owned).collect()
    };
    let learned = policy("run");
    assert_eq!(learned.len(), 4);
    for (line, (decision, values)) in
        learned.iter().zip([("width", 4), ("depth", 3), ("kernel", 4), ("pool", 3)])
    {
        let (name, probabilities) = line.trim().split_once("  ").unwrap();
        assert_eq!(name.trim(), decision);
        let number = |part: &str| part.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
        let probabilities: Vec<f64> = probabilities.split(", ").map(number).collect();
        assert_eq!(probabilities.len(), values, "{line}");
        assert!(probabilities.is_sorted_by(|a, b| a >= b), "{line}");
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 0.01 * values as f64, "{line}");
    }
    // The widest are the best by far.
    assert!(learned[0].contains("  3 0."), "{}", learned[0]);
    assert_eq!(policy("run"), learned);

    // The policy of random search, and of a checkpoint that is none.
    place.expect(0, "search --table table.csv --strategy random --out random");
    assert!(policy("random").is_empty());
    place.write("run/controller/policy.safetensors", "nonsense");
    place.expect_words(2, "show run", &["policy.safetensors", "delete it"]);
}
