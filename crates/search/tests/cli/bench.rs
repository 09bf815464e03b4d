//! `nasrl bench search`

use crate::support::Place;

#[test]
fn the_bench_reports_what_it_was_asked_for() {
    let place = Place::new();
    let bench = |options: &str| -> serde_json::Value {
        let bench = "bench search --table table.csv --trials 25 --seeds 40 --json";
        let printed = place.expect(0, &format!("{bench} {options}"));
        serde_json::from_str(&printed).unwrap()
    };
    let (learned, random) = (bench("--strategy rl"), bench("--strategy random"));
    for key in ["strategy", "preset", "trials", "seeds", "mean", "sd", "se"] {
        assert!(!learned[key].is_null(), "{key} is missing from {learned}");
    }
    let number = |report: &serde_json::Value, key: &str| report[key].as_f64().unwrap();
    let error = number(&learned, "se") + number(&random, "se");
    assert!(number(&learned, "mean") > number(&random, "mean") + 2.0 * error, "{learned} {random}");
    assert_eq!(bench("--strategy rl"), learned);
    let cost = bench("--strategy rl --report cost");
    assert!((0.0..=9.0).contains(&number(&cost, "mean")), "{cost}");
    let lagged = bench("--strategy rl --lag 5");
    assert_ne!(lagged["mean"], learned["mean"]);
}

#[test]
fn an_unknown_column_is_refused() {
    let place = Place::new();
    let words = ["no column `price`", "reward, cost"];
    place.expect_words(2, "bench search --table table.csv --report price", &words);
}
