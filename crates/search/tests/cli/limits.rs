//! Limits on what architectures cost.

use crate::support::{Place, column, write_images};

const SPACE: &str = "
name = \"wide\"
[layers]
count = 3
kernel = [1, 3]
filters = [2, 4, 8, 16]
batch_norm = \"on\"
";

const SEARCH: &str = "search --space wide.toml --data images --epochs 1 --set retrain-epochs=1";

fn place() -> Place {
    let place = Place::new();
    place.write("wide.toml", SPACE);
    write_images(&place);
    place
}

fn numbers(trials: &[Vec<String>], name: &str) -> Vec<u64> {
    column(trials, name).iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn strategies_that_redraw_stay_within_them() {
    let place = place();
    let limits = "--max-flops 60K --max-params 1.5K";
    let words = ["at most 1,500 parameters, 60,000 FLOPs", "draws over limits"];
    place.expect_words(0, &format!("{SEARCH} --trials 10 {limits} --jobs 1 --out a"), &words);
    let trials = place.trials("a");
    assert_eq!(column(&trials, "status")[..10], vec!["done"; 10]);
    assert!(numbers(&trials, "flops").iter().all(|&flops| flops <= 60_000));
    assert!(numbers(&trials, "params").iter().all(|&params| params <= 1_500));
    let (over, redraws) = (numbers(&trials, "over_limits"), numbers(&trials, "redraws"));
    assert!(over.iter().sum::<u64>() > 5, "{over:?}");
    assert!(over.iter().zip(&redraws).all(|(over, redraws)| over <= redraws));
    place.expect(0, &format!("{SEARCH} --trials 10 {limits} --jobs 4 --threads 2 --out b"));
    assert_eq!(place.trials("b"), trials);
    let words = ["limits.flops = 60000, not 70000"];
    place.expect_words(2, "search --resume a --max-flops 70K", &words);
}

#[test]
fn where_nothing_is_redrawn_they_fail_trials() {
    let place = place();
    let search = format!("{SEARCH} --trials 12 --preset paper --baseline none --out run");
    place.expect(0, &format!("{search} --max-flops 60000"));
    let trials = place.trials("run");
    let (status, over) = (column(&trials, "status"), column(&trials, "over_limits"));
    let reward = column(&trials, "reward");
    let first = status.iter().position(|status| status == "too_large").expect("some are too large");
    assert!(status.contains(&"done".to_owned()));
    for (trial, flops) in numbers(&trials, "flops").into_iter().enumerate() {
        assert_eq!(flops > 60_000, over[trial] == "1", "trial {trial}");
        let is_over = over[trial] == "1";
        assert!(!is_over || reward[trial] == "0", "trial {trial}");
        assert!(!is_over || status[trial] != "done", "trial {trial}");
    }
    let words = ["too_large", "FLOPs, ", " more than --max-flops allows, 60,000"];
    place.expect_words(0, &format!("show run {first}"), &words);
}

#[test]
fn memory_is_estimated_for_the_threads() {
    let place = place();
    let search = format!("{SEARCH} --trials 3 --baseline none --threads 1");
    let words = ["Strategy rl ended after 0 trials", "within the limits; raise them"];
    place.expect_words(0, &format!("{search} --max-memory 1KiB --out none"), &words);
    place.expect(0, &format!("{search} --max-memory 2GiB --out all"));
    assert_eq!(column(&place.trials("all"), "status"), vec!["done"; 3]);
    // The estimate, and with it the search, depends on the threads.
    place.expect_words(2, "search --resume all --threads 2", &["threads = 1, not 2"]);
}

#[test]
fn limits_are_amounts_of_networks() {
    let place = place();
    place.expect_words(2, &format!("{SEARCH} --max-params many"), &["many", "2.5M"]);
    let words = ["--set limits.flops=-3", "limits.flops", "at least 0"];
    place.expect_words(2, &format!("{SEARCH} --set limits.flops=-3"), &words);
    place.expect_words(2, "search --table table.csv --max-flops 3", &["cannot be used with"]);
    place.expect_words(2, "search --table table.csv --set limits.flops=3", &["no networks"]);
}
