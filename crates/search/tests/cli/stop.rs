//! Stopping a search on purpose.

use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::{Place, column, printed};

/// A search that takes minutes, with some of its trials finished.
fn long_search(place: &Place) -> Child {
    let search = "search --table table.csv --trials 70 --jobs 2 --lag 3 \
                  --set table.seconds-per-trial=0.02 --out run";
    let mut command = place.command(search);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let process = command.spawn().unwrap();
    let started = Instant::now();
    while !place.path("run/trials.csv").exists() || place.trials("run").len() < 4 {
        assert!(started.elapsed() < Duration::from_secs(30), "no trials");
        sleep(Duration::from_millis(5));
    }
    process
}

fn signal(process: &Child, name: &str) {
    let id = process.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
}

fn end(process: Child) -> Output {
    process.wait_with_output().unwrap()
}

#[test]
fn the_first_signal_saves_and_the_run_is_resumed() {
    for name in ["INT", "TERM"] {
        let place = Place::new();
        let process = long_search(&place);
        signal(&process, name);
        let output = end(process);
        assert_eq!(output.status.code(), Some(3), "{}", printed(&output));
        let words = "Go on with: nasrl search --resume run";
        assert!(printed(&output).contains(words), "{}", printed(&output));
        let finished = place.trials("run").len() - 1;
        assert!((3..140).contains(&finished), "{finished} trials finished");
        place.expect(0, "search --resume run");
        place.expect(0, "search --table table.csv --trials 70 --lag 3 --out whole");
        assert_eq!(place.trials("run"), place.trials("whole"));
    }
}

/// A look-up of a minute that would hold a patient program up for as long.
#[test]
fn the_second_signal_ends_at_once() {
    let place = Place::new();
    let search = "search --table table.csv --jobs 1 --set table.seconds-per-trial=60 --out run";
    let process = place.spawn(search);
    let started = Instant::now();
    place.wait_for("run");
    sleep(Duration::from_millis(100));
    // Both arrive before the program looks again.
    signal(&process, "STOP");
    signal(&process, "TERM");
    signal(&process, "INT");
    signal(&process, "CONT");
    let output = end(process);
    assert_eq!(output.status.code(), Some(130));
    assert!(started.elapsed() < Duration::from_secs(30));
    place.expect_words(0, "search --resume run --max-time 0s", &["--max-time was reached"]);
}

#[test]
fn max_time_ends_with_code_0_and_can_be_resumed() {
    let place = Place::new();
    let search = "search --table table.csv --trials 50 --set table.seconds-per-trial=0.05";
    let words = ["--max-time was reached", "nasrl search --resume run"];
    place.expect_words(0, &format!("{search} --max-time 1s --out run"), &words);
    let finished = place.trials("run").len() - 1;
    assert!((1..100).contains(&finished), "{finished} trials finished");
    // Without any time left what is known still counts, and the controller forgets nothing.
    let policy = || std::fs::read(place.path("run/controller/policy.safetensors")).unwrap();
    let learned = policy();
    let words = [&format!("reached after {finished} trials"), "Best architectures"];
    place.expect_words(0, "search --resume run --max-time 0s", &words);
    assert_eq!(place.trials("run").len() - 1, finished);
    assert_eq!(policy(), learned);
    place.expect(0, "search --resume run --jobs 4");
    place.expect(0, "search --table table.csv --trials 50 --out whole");
    assert_eq!(place.trials("run"), place.trials("whole"));
    assert_eq!(column(&place.trials("run"), "trial").len(), 100);
}

/// Code 3 is the user's decision; a reader who left is no reason to end a search.
#[test]
fn nobody_has_to_read() {
    let place = Place::new();
    let mut command = place.command("search --table table.csv --out run");
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(process.stdout.take());
    drop(process.stderr.take());
    assert_eq!(process.wait().unwrap().code(), Some(0));
    assert_eq!(place.trials("run").len(), 53);
}

/// Results on their way to a file are not lost in silence.
#[test]
fn a_full_disk_behind_standard_output_is_a_failure() {
    let place = Place::new();
    for arguments in ["space show --export", "search --table table.csv --out run"] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = place.command(arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments}");
        let words = "could not be written to standard output: No space left";
        assert!(printed(&output).contains(words), "{}", printed(&output));
    }
    place.expect_words(0, "search --resume run", &["nothing left to do"]);
}
