//! The same search gives the same trials.

use crate::support::{Place, column};

#[test]
fn jobs_threads_and_delays_do_not_show() {
    let place = Place::new();
    for (preset, lag) in [("default", 0), ("default", 3), ("paper", 2), ("reference", 5)] {
        let search = format!("search --table table.csv --preset {preset} --lag {lag} --trials 40");
        let mut runs = Vec::new();
        for (number, options) in [
            "--jobs 1",
            "--jobs 2 --threads 2 --set table.seconds-per-trial=0.002",
            "--jobs 7",
            "--jobs 1",
        ]
        .into_iter()
        .enumerate()
        {
            let run = format!("{preset}-{lag}-{number}");
            place.expect(0, &format!("{search} {options} --out {run}"));
            runs.push(place.trials(&run));
        }
        assert_eq!(runs[0].len(), 81);
        assert!(runs.iter().all(|trials| *trials == runs[0]), "{preset}, lag {lag}");
    }
}

#[test]
fn another_seed_is_another_search() {
    let place = Place::new();
    place.expect(0, "search --table table.csv --seed 1 --out a");
    place.expect(0, "search --table table.csv --seed 2 --out b");
    assert_ne!(place.trials("a"), place.trials("b"));
}

#[test]
fn the_lag_is_part_of_the_configuration() {
    let place = Place::new();
    place.expect(0, "search --table table.csv --trials 30 --lag 0 --out a");
    place.expect(0, "search --table table.csv --trials 30 --lag 4 --jobs 1 --out b");
    assert_ne!(place.trials("a"), place.trials("b"));
}

#[test]
fn the_baseline_is_random_search_of_the_same_seed() {
    let place = Place::new();
    place.expect(0, "search --table table.csv --trials 20 --seed 5 --out both");
    place.expect(0, "search --table table.csv --trials 20 --seed 5 --strategy random --out alone");
    let (both, alone) = (place.trials("both"), place.trials("alone"));
    let strategies = column(&both, "strategy");
    assert_eq!(strategies[..20], vec!["rl"; 20]);
    assert_eq!(strategies[20..], vec!["random"; 20]);
    assert_eq!(column(&both, "tokens")[20..], column(&alone, "tokens"));
    assert_eq!(column(&both, "reward")[20..], column(&alone, "reward"));
}

#[test]
fn default_never_repeats_and_paper_answers_from_the_ledger() {
    let place = Place::new();
    let distinct = |mut values: Vec<String>| {
        values.sort_unstable();
        values.dedup();
        values.len()
    };
    place.expect(0, "search --table table.csv --trials 60 --baseline none --out default");
    let default = place.trials("default");
    assert_eq!(column(&default, "status"), vec!["done"; 60]);
    assert_eq!(distinct(column(&default, "hash")), 60);

    place.expect(
        0,
        "search --table table.csv --trials 60 --preset paper --jobs 3 --lag 9 --out paper",
    );
    let paper = place.trials("paper");
    let [status, hash] = ["status", "hash"].map(|name| column(&paper, name));
    let [reward, original] = ["reward", "duplicate_of"].map(|name| column(&paper, name));
    let repeats = (0..120).filter(|&trial| status[trial] == "duplicate").count();
    assert!(repeats > 5, "{repeats} of 120 trials in 144 architectures are repeats");
    assert_eq!(distinct(hash.clone()), 120 - repeats);
    for trial in 0..120 {
        let first = hash.iter().position(|other| *other == hash[trial]).unwrap();
        let (expected, of) = match first == trial {
            true => ("done", String::new()),
            false => ("duplicate", first.to_string()),
        };
        assert_eq!((status[trial].as_str(), &original[trial]), (expected, &of), "trial {trial}");
        assert_eq!(reward[trial], reward[first], "trial {trial}");
    }
}

#[test]
fn an_exhausted_space_ends_the_search_normally() {
    let place = Place::new();
    let rows: String = (0..6).map(|i| format!("{},{},0.{i}\n", i / 3, i % 3)).collect();
    place.write("small.csv", &format!("a,b,reward\n{rows}"));
    let words = [
        "Strategy rl ended after 6 trials: no architecture of the space is left",
        "Strategy random ended after 6 trials",
    ];
    place.expect_words(0, "search --table small.csv --trials 50 --out run", &words);
    let trials = place.trials("run");
    let status = column(&trials, "status");
    assert_eq!(
        (status[..6].to_vec(), status[6..].to_vec()),
        (vec!["done".to_owned(); 6], vec!["duplicate".to_owned(); 6])
    );
    place.expect_words(0, "search --resume run", &["nothing left to do"]);
}
