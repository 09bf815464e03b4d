//! What can be wrong with a configuration.

use crate::support::Place;

#[test]
fn unknown_keys_are_answered_with_the_nearest() {
    let place = Place::new();
    place.write("a.toml", "trials = 10\n\n[controller]\nlerning-rate = 0.1\n");
    let words = ["a.toml:4:1", "`controller.lerning-rate`", "did you mean `learning-rate`?"];
    place.expect_words(2, "search --config a.toml --out run", &words);
    place.write("b.toml", "trails = 10\n");
    place.expect_words(2, "search --config b.toml --out run", &["b.toml:1:1", "`trials`"]);
    let words = ["--set recipe.bach=3", "did you mean `batch`?"];
    place.expect_words(2, "search --set recipe.bach=3 --out run", &words);
    // Nothing resembles these enough to be worth a guess.
    for key in ["recipe.lr", "recipe.colour"] {
        let printed = place.expect(2, &format!("search --set {key}=3 --out run"));
        let known = format!("unknown key `{key}`. Known there: epochs, batch, ");
        assert!(printed.contains(&known) && !printed.contains("mean"), "{printed}");
    }
    let words = ["--set controller.optimizer.kind=addam", "controller.optimizer", "`adam`"];
    place.expect_words(2, "search --set controller.optimizer.kind=addam --out run", &words);
    assert!(!place.path("run").exists());
}

#[test]
fn wrong_values_are_named_with_their_place() {
    let place = Place::new();
    place.write("a.toml", "seed = 1\ntrials = \"many\"\n");
    place.expect_words(2, "search --config a.toml", &["a.toml:2:1", "trials", "many"]);
    place.write("b.toml", "seed = 1\ntrials = = 3\n");
    place.expect_words(2, "search --config b.toml", &["b.toml:2:10"]);
    place.expect_words(2, "search --config missing.toml", &["missing.toml", "cannot read"]);
    place.expect_words(2, "search --set trials", &["--set trials", "key=value"]);
    place.expect_words(2, "search --set trials=", &["--set trials="]);
    place.expect_words(2, "search --trials 0", &["trials is 0, but must be 1 to"]);
    let rule = "expected a whole number of at least 0";
    for flag in ["trials", "epochs", "children-per-update", "lag", "jobs", "threads", "seed"] {
        place.expect_words(2, &format!("search --{flag} -5"), &[&format!("--{flag}"), "-5", rule]);
    }
    for command in ["train --tokens 1", "space sample"] {
        place.expect_words(2, &format!("{command} --seed -5"), &["--seed", "-5", "invalid value"]);
    }
    place.write("table.toml", "table = \"table.csv\"\n");
    place.expect_words(2, "train --tokens 1 --config table.toml", &["no recipe"]);
    place.expect_words(2, "train --tokens 1 --epochs -5", &["--epochs", "-5", rule]);
    place.expect_words(2, "bench search --table table.csv --lag -5", &["--lag", "-5", rule]);
    place.expect_words(2, "search --jobs 0", &["jobs is 0, but must be 1 to"]);
    let words = ["jobs times threads is 4200, but must be at most 4096"];
    place.expect_words(2, "search --jobs 42 --threads 100", &words);
    place.expect_words(2, "search --max-time soon", &["soon", "90s, 15m, 2h"]);
    place.expect_words(2, "search --set reward.power=0", &["reward.power is 0"]);
    let words = ["controller.clip-norm is -1"];
    place.expect_words(2, "search --set controller.clip-norm=-1", &words);
    place.expect_words(2, "search --epochs 0", &["recipe: epochs is 0"]);
    place.expect_words(2, "search --strategy random --baseline random", &["its own baseline"]);
    let words = ["cannot be used with", "--epochs"];
    place.expect_words(2, "search --table table.csv --epochs 3", &words);
    place.write("c.toml", "table = \"table.csv\"\ndata = \"embedded\"\n");
    place.expect_words(2, "search --config c.toml", &["a table is its own space"]);
    place.expect_words(2, "search --set table.seconds-per-trial=1", &["table.source is empty"]);
    place.expect_words(2, "search --preset best", &["best"]);
    place.expect_words(2, "search --nonsense", &["--nonsense", "Usage"]);
}

#[test]
fn later_layers_win() {
    let place = Place::new();
    place.write("a.toml", "table = \"table.csv\"\nseed = 1\ntrials = 11\nlag = 1\njobs = 3\n");
    place.expect(0, "search --config a.toml --set seed=2 --set trials=12 --trials 13 --out run");
    let config = std::fs::read_to_string(place.path("run/config.toml")).unwrap();
    for line in ["seed = 2", "trials = 13", "lag = 1", "jobs = 3"] {
        assert!(config.lines().any(|other| other == line), "{line} is missing from\n{config}");
    }
}

#[test]
fn missing_and_broken_inputs_are_named() {
    let place = Place::new();
    place.expect_words(2, "search --space nothing.toml", &["nothing.toml", "reference"]);
    place.expect_words(2, "search --data nowhere", &["nowhere"]);
    place.expect_words(2, "search --table nothing.csv", &["nothing.csv", "cannot be read"]);
    place.write("decisions.toml", "name = \"d\"\n[[decision]]\nname = \"a\"\nvalues = [1, 2]\n");
    place.expect_words(2, "search --space decisions.toml", &["d lists decisions only"]);
    place.write("broken.csv", "a,reward\n1,0.5\n2\n");
    place.expect_words(2, "search --table broken.csv", &["broken.csv: line 3", "2"]);
    assert!(!place.path("runs").exists());
}
