//! A run survives being killed at any instant.

use std::thread::sleep;
use std::time::Duration;

use nasrl_tensor::random::{Key, Philox};

use crate::support::Place;

/// Kills and resumes a search until it was killed 20 times, then lets it end.
#[test]
fn killed_twenty_times_it_is_as_if_nothing_had_happened() {
    let place = Place::new();
    let search = "--table table.csv --trials 60 --lag 3 --preset paper";
    place.expect(0, &format!("search {search} --out whole --jobs 1"));

    let begin = format!("search {search} --jobs 2 --set table.seconds-per-trial=0.05 --out killed");
    let mut instants = Philox::new(Key::new(11, 0, "kill"));
    let mut kills = 0;
    while kills < 20 {
        let began = place.path("killed").exists();
        let mut process = place.spawn(if began { "search --resume killed" } else { &begin });
        sleep(Duration::from_millis(u64::from(instants.below(150))));
        let ended = process.try_wait().unwrap();
        assert_eq!(ended, None, "the search is to be long enough for 20 kills, not {kills}");
        process.kill().unwrap();
        process.wait().unwrap();
        kills += 1;
    }
    place.expect_words(0, "search --resume killed", &["run directory: killed"]);
    assert_eq!(place.trials("killed"), place.trials("whole"));
    place.expect_words(0, "search --resume killed", &["there is nothing left to do"]);
    assert_eq!(place.trials("killed"), place.trials("whole"));
}

/// What a killed process leaves half-written does not get in the way.
#[test]
fn leftovers_are_swept_away() {
    let place = Place::new();
    let search = "search --table table.csv --trials 10";
    place.expect(0, &format!("{search} --out whole"));
    place.write(".run.partial", "a file in place of a half-made directory");
    std::fs::remove_file(place.path(".run.partial")).unwrap();
    std::fs::create_dir(place.path(".run.partial")).unwrap();
    place.write(".run.partial/lock", "");
    place.expect(0, &format!("{search} --out run --max-time 0s"));
    place.write("run/.trials.csv.partial", "half a");
    place.write("run/trials.csv", "trial,strategy,sta");
    place.write("run/best/trial-00099.safetensors", "not among the best");
    place.expect(0, "search --resume run");
    assert_eq!(place.trials("run"), place.trials("whole"));
    assert!(!place.path("run/best/trial-00099.safetensors").exists());
}
