//! After the search: tuning, and the final training.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use nasrl_tensor::random::{Key, Philox};
use serde_json::Value;

use crate::support::{Place, column, write_images};

const SPACE: &str = "
name = \"normalised\"
[layers]
count = 2
kernel = [1, 3]
filters = [2, 4]
batch_norm = \"on\"
skips = [\"off\", \"on\"]
";

const SEARCH: &str = "search --space space.toml --data images --epochs 1 --set retrain-epochs=1 \
                      --set recipe.batch=16 --set data.validation=32 --trials 3 --out";

/// A place with a finished run.
fn place() -> Place {
    let place = Place::new();
    place.write("space.toml", SPACE);
    write_images(&place);
    place.expect(0, &format!("{SEARCH} run"));
    place
}

/// A copy of the run, as it was before tuning.
fn copy(place: &Place, name: &str) {
    let mut command = std::process::Command::new("cp");
    let copied = command.arg("-r").arg(place.path("run")).arg(place.path(name)).status();
    assert!(copied.unwrap().success());
}

const TUNE: &str = "--epochs 4 --learning-rate 0.001,0.1,0.01 --weight-decay 0,0.001 \
                    --batch-norm-epsilon 0.001 --decay-epoch recipe,2";

#[test]
fn killed_while_tuning_it_is_as_if_nothing_had_happened() {
    let place = place();
    let before = place.trials("run");
    for name in ["a", "b", "killed"] {
        copy(&place, name);
    }
    let words = ["12 settings of the recipe run, 4 epochs each", "The best setting: recipe=run"];
    place.expect_words(0, &format!("tune a {TUNE} --jobs 1 --threads 1"), &words);
    let tuned = place.trials("a");
    assert_eq!(tuned[..7], before);
    assert_eq!(column(&tuned, "strategy")[6..], vec!["tune"; 12]);
    let settings = column(&tuned, "setting");
    let expected =
        "recipe=run epochs=4 learning-rate=0.001 weight-decay=0 batch-norm-epsilon=0.001";
    assert_eq!(settings[6], expected);
    assert_eq!(settings[7], format!("{expected} decay-epoch=2"));
    let hashes = column(&tuned, "hash");
    assert!(hashes[6..].iter().all(|hash| *hash == hashes[6]));
    // Settings matter.
    let mut rewards = column(&tuned, "reward")[6..].to_vec();
    rewards.sort_unstable();
    rewards.dedup();
    assert!(rewards.len() > 2, "{rewards:?}");

    place.expect(0, &format!("tune b {TUNE} --jobs 3 --threads 2"));
    assert_eq!(place.trials("b"), tuned);
    let mut instants = Philox::new(Key::new(14, 0, "kill"));
    for _ in 0..5 {
        let mut process = place.spawn(&format!("tune killed {TUNE} --jobs 2"));
        sleep(Duration::from_millis(u64::from(50 + instants.below(150))));
        process.kill().unwrap();
        process.wait().unwrap();
    }
    place.expect(0, &format!("tune killed {TUNE}"));
    assert_eq!(place.trials("killed"), tuned);
    // Another grid has other numbers; the search is as it was.
    place.expect(0, "tune killed --epochs 1 --limit 2 --trial 1");
    let further = place.trials("killed");
    assert_eq!((further.len(), &further[..tuned.len()]), (tuned.len() + 2, &tuned[..]));
    assert_eq!(further.last().unwrap()[0], "19");
    let summary = place.expect(0, "search --resume killed");
    assert!(summary.contains("nothing left to do") && !summary.contains("tune"), "{summary}");
    let words = ["Best settings of tuning", "learning-rate=0.0"];
    place.expect_words(0, "show killed", &words);
    place.expect_words(0, "show killed 7", &["setting", "decay-epoch=2", "layer2"]);
}

#[test]
fn an_unfinished_search_is_not_tuned() {
    let place = place();
    place.expect(0, &format!("{SEARCH} early --max-time 0s"));
    let words = ["early is not finished", "nasrl search --resume early"];
    place.expect_words(2, "tune early", &words);
    place.expect(0, "search --table table.csv --trials 3 --out table");
    place.expect_words(2, "tune table", &["there is no child"]);
    place.expect_words(2, "tune run --trial 99", &["no result of trial 99"]);
    place.expect_words(2, "tune run --learning-rate -1", &["learning-rate"]);
    place.expect_words(2, "tune run --limit 0", &["--limit"]);
}

#[test]
fn the_last_step_is_that_of_the_paper() {
    let place = place();
    let words = ["was not tuned for the recipe final", "nasrl tune run --recipe final"];
    place.expect_words(2, "retrain run --recipe final --tuned", &words);
    let tune = "tune run --recipe final --epochs 4 --learning-rate 0.1,1e9 --limit 3";
    let printed = place.expect(0, tune);
    let best = printed.lines().find(|line| line.starts_with("The best setting: ")).unwrap();
    assert!(best.contains("recipe=final epochs=4 learning-rate=0.1 "), "{printed}");
    assert!(printed.contains("retrain run --trial") && printed.contains("--recipe final --tuned"));

    let retrain = |options: &str| -> Value {
        serde_json::from_str(&place.expect(0, &format!("retrain run --json {options}"))).unwrap()
    };
    let plain = retrain("");
    assert_eq!((&plain["epochs"], &plain["variant"]), (&1.into(), &"".into()));
    let last = retrain("--recipe final --tuned --add-filters 40 --all --epochs 6 --threads 1");
    let variant = last["variant"].as_str().unwrap();
    for words in ["recipe final, tuned, learning-rate 0.1", "40 more filters", "validation images"]
    {
        assert!(variant.contains(words), "{variant}");
    }
    assert!(last["parameters"].as_u64() > plain["parameters"].as_u64().map(|count| 10 * count));
    assert!(last["validation_accuracy"].is_null());
    assert!(last["test_accuracy"].is_f64(), "{last}");
    assert_eq!(retrain("--recipe final --tuned --add-filters 40 --all --epochs 6"), last);
    let files = fs::read_dir(place.path("run/retrained")).unwrap().count();
    assert_eq!(files, 2, "the plain one and the variant");
    place.expect_words(0, "show run", &["more filters", "validation images too"]);
    place.expect_words(2, "retrain run --recipe best", &["reference", "paper", "final"]);
}

#[test]
fn recipes_are_named() {
    let place = place();
    let config = |run: &str| fs::read_to_string(place.path(run).join("config.toml")).unwrap();
    let search = "search --space space.toml --data images --trials 1 --max-time 0s";
    place.expect(0, &format!("{search} --recipe paper --set recipe.batch=32 --out paper"));
    let paper = config("paper");
    for line in ["epochs = 50", "batch = 32", "learning-rate = 0.1", "weight-decay = 0.0001"] {
        assert!(paper.lines().any(|other| other == line), "{line} is missing from\n{paper}");
    }
    place.expect(0, &format!("{search} --recipe reference --out reference"));
    place.expect(0, &format!("{search} --out default"));
    assert_eq!(config("reference"), config("default"));
    place.expect_words(2, &format!("{search} --recipe own"), &["--recipe", "own", "paper"]);
    let train = "train --space space.toml --data images --recipe paper --epochs 1 --tokens";
    let mut command = place.command(train);
    let printed = command.arg("3,2 / 3,4,1").output().unwrap();
    assert!(printed.status.success(), "{printed:?}");
    place.expect_words(2, &format!("{train} 3,2"), &["found 1 layers"]);
    place.expect_words(2, "search --recipe paper --table table.csv", &["cannot be used with"]);
}
