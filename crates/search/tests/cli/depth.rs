//! Spaces of several depths.

use std::collections::HashSet;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use nasrl_tensor::random::{Key, Philox};

use crate::support::{Place, column, write_images};

/// Two to five layers, small ones, with skips.
const SMALL: &str = "
name = \"small\"
[layers]
count = 5
min_count = 2
kernel = [1, 3]
filters = [2, 4]
batch_norm = \"on\"
skips = [\"off\", \"on\"]
";

fn place() -> Place {
    let place = Place::new();
    place.write("small.toml", SMALL);
    write_images(&place);
    place
}

/// How many layers the architecture of each trial has.
fn depths(trials: &[Vec<String>]) -> Vec<usize> {
    column(trials, "tokens").iter().map(|tokens| tokens.split('/').count()).collect()
}

#[test]
fn the_depth_grows_with_the_trials_of_each_strategy() {
    let place = place();
    let search = "search --space small.toml --data images --epochs 1 --set retrain-epochs=1 \
                  --trials 9 --set depth.period=3";
    let words = ["from 2 to 5 layers, 2 more after every 3 trials"];
    place.expect_words(0, &format!("{search} --out grown"), &words);
    let trials = place.trials("grown");
    let expected = [2, 2, 2, 4, 4, 4, 5, 5, 5];
    assert_eq!(depths(&trials), [expected, expected].concat());
    for options in ["--jobs 1 --threads 2", "--jobs 4 --threads 1"] {
        place.expect(0, &format!("{search} {options} --out again"));
        assert_eq!(place.trials("again"), trials);
        fs::remove_dir_all(place.path("again")).unwrap();
    }
    let fixed = format!("{search} --set depth.step=1 --depth 3..4 --preset paper --out part");
    place.expect(0, &fixed);
    let expected = [3, 3, 3, 4, 4, 4, 4, 4, 4];
    assert_eq!(depths(&place.trials("part")), [expected, expected].concat());
    let config = fs::read_to_string(place.path("part/config.toml")).unwrap();
    assert!(config.contains("[depth]\nstart = 3\nend = 4\nstep = 1\nperiod = 3\n"), "{config}");
    place.expect_words(2, "search --resume part --depth 3..5", &["depth.end = 4, not 5"]);

    for (depth, words) in [("1..3", "found 1 layers"), ("6", "found 6 layers"), ("3..2", "6..20")] {
        place.expect_words(2, &format!("{search} --depth {depth} --out refused"), &[words]);
    }
    place.expect_words(2, "search --table table.csv --set depth.start=3", &["no networks"]);
    // What has one depth only is not asked for it.
    let one = "search --depth 4 --data images --epochs 1 --trials 2 --baseline none --out one";
    place.expect(0, one);
    assert!(!fs::read_to_string(place.path("one/config.toml")).unwrap().contains("[depth]"));
}

/// Two layers have 4 * 4 * 2 token strings, but fewer networks.
#[test]
fn a_depth_without_unseen_networks_is_left_early() {
    let place = place();
    let search = "search --space small.toml --data images --epochs 1 --strategy random --trials 40 \
                  --set retrain-epochs=1 --depth 2..3 --set depth.step=1 --out run";
    place.expect(0, search);
    let trials = place.trials("run");
    let depths = depths(&trials);
    let shallow = depths.iter().filter(|&&depth| depth == 2).count();
    assert!(depths.is_sorted() && (17..=32).contains(&shallow) && depths.len() == 40, "{depths:?}");
    let hashes = column(&trials, "hash");
    assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), 40);
}

#[test]
fn the_papers_space_is_searched_and_survives_being_killed() {
    let place = place();
    let search = "search --space nas-rl-cnn --depth 6 --data images --recipe paper --preset paper \
                  --epochs 1 --set retrain-epochs=1 --trials 3 --lag 1 --max-flops 12M";
    place.expect(0, &format!("{search} --jobs 1 --threads 1 --out whole"));
    let whole = place.trials("whole");
    assert_eq!(depths(&whole), vec![6; 6]);
    let begin = format!("{search} --jobs 2 --threads 1 --out killed");
    let mut instants = Philox::new(Key::new(13, 0, "kill"));
    for _ in 0..5 {
        let began = place.path("killed").exists();
        let mut process = place.spawn(if began { "search --resume killed" } else { &begin });
        place.wait_for("killed");
        sleep(Duration::from_millis(u64::from(instants.below(200))));
        process.kill().unwrap();
        process.wait().unwrap();
    }
    place.expect(0, "search --resume killed --threads 2");
    assert_eq!(place.trials("killed"), whole);
    let config = fs::read_to_string(place.path("whole/config.toml")).unwrap();
    for line in ["last-epochs = 5", "power = 3.0", "batch = 64", "normalisation = \"whitening\""] {
        assert!(config.lines().any(|other| other == line), "{line} is missing from\n{config}");
    }
    place.expect_words(0, "show whole 0", &["●", "layer6", "head", "FLOPs, architecture"]);

    // The images are not needed once all is done.
    fs::remove_dir_all(place.path("images")).unwrap();
    place.expect_words(0, "search --resume whole", &["nothing left to do", "test accuracy"]);
    place.expect_words(2, "search --resume whole --trials 9", &["trials = 3, not 9"]);
}
