//! Spaces as TOML: what is read, what is refused and with which words, and that writing is the
//! inverse of reading.

use std::fs;
use std::path::{Path, PathBuf};

use nasrl_space::{FileProblem, Image, Space, SpaceError, Value};
use proptest::prelude::*;

const CIFAR: Image = Image { height: 32, width: 32, channels: 3 };

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(!files.is_empty());
    files
}

/// The first line of each file is a comment with the message it has to be refused with.
#[test]
fn contradictions_are_refused_in_words() {
    for path in files("tests/refused") {
        let text = fs::read_to_string(&path).unwrap();
        let expected = text.lines().next().unwrap().trim_start_matches("# ");
        let error = Space::from_toml(&text, "space.toml").unwrap_err();
        let file = path.file_name().unwrap().to_string_lossy();
        assert_eq!(error.to_string(), expected, "{file}");
    }
}

#[test]
fn a_missing_file_is_refused_by_name() {
    let error = Space::open("no/such/space.toml").unwrap_err();
    assert!(matches!(&error, SpaceError::Read { file, .. } if file == "no/such/space.toml"));
    let known = "known by name are: reference, nas-rl-cnn, nas-rl-cnn-strides, nas-rl-cnn-pooling";
    assert!(error.to_string().ends_with(known), "{error}");
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("latin1.toml");
    fs::write(&path, b"name = '\xe9'").unwrap();
    assert!(matches!(Space::load(&path), Err(SpaceError::Read { .. })));
}

#[test]
fn deep_nesting_is_refused() {
    for text in ["name = ".to_owned() + &"[".repeat(100_000), "{a=".repeat(100_000)] {
        let error = Space::from_toml(&text, "deep.toml").unwrap_err();
        assert!(matches!(error, SpaceError::File { problem: FileProblem::Syntax { .. }, .. }));
    }
}

#[test]
fn the_examples_are_spaces() {
    for path in files("examples") {
        let space = Space::load(&path).unwrap();
        let tokens = space.unrank(&0_u32.into()).unwrap();
        match space.build(&tokens, CIFAR, 10) {
            Ok(graph) => assert_eq!(graph.node(graph.output()).shape.channels, 10),
            Err(error) => assert!(matches!(error, SpaceError::NoNetwork { .. }), "{error}"),
        }
    }
}

#[test]
fn writing_is_the_inverse_of_reading() {
    let spaces = files("examples").into_iter().map(|path| Space::load(&path).unwrap());
    let built_in = Space::built_in().map(|name| Space::open(name).unwrap());
    for space in spaces.chain(built_in) {
        let text = space.to_toml();
        let again = Space::from_toml(&text, "again").unwrap();
        assert_eq!(again, space);
        assert_eq!(again.to_toml(), text);
        assert_eq!(again.digest(), space.digest());
    }
}

#[test]
fn the_resolved_reference_space() {
    let expected = r#"name = "reference"

[layers]
count = 4
min_count = 4
skips = "off"
type = "conv"
kernel = [1, 3]
filters = [16, 32, 64]
block = 1
padding = "same"
batch_norm = "off"
activation = "relu"
pooling = "none"
pool_size = 2
dropout = 0

[per_layer]
stride = [2, 1, 2, 1]

[head]
dropout = 0
"#;
    assert_eq!(Space::reference().to_toml(), expected);
}

#[test]
fn other_words_for_one_space_have_one_digest() {
    let reworded = r#"
        name = "reference" # the same with all said twice
        [per_layer]
        stride = [2, 1, 2, 1]
        filters = [[16, 32, 64], [16, 32, 64], [16, 32, 64], [16, 32, 64]]
        [layers]
        count = 4
        padding = "same"
        kernel = [0x1, 3]
        [head]
        dropout = 0.0
    "#;
    let reworded = Space::from_toml(reworded, "reworded.toml").unwrap();
    assert_eq!(reworded.digest(), Space::reference().digest());
    assert_eq!(reworded.digest().to_string().len(), 64);
    let other = Space::reference().to_toml().replace("[16, 32, 64]", "[16, 64, 32]");
    let other = Space::from_toml(&other, "other.toml").unwrap();
    assert_ne!(other.digest(), Space::reference().digest());
}

#[test]
fn decisions_follow_the_order_of_the_keys() {
    let text = include_str!("../examples/every-key.toml");
    let space = Space::from_toml(text, "every-key.toml").unwrap();
    let names: Vec<_> = space.decisions().iter().map(|decision| decision.name()).collect();
    let layer1 = ["kernel_height", "kernel_width", "stride_width", "filters", "batch_norm"];
    let layer1 = layer1.iter().chain(&["activation", "dropout"]).map(|key| format!("layer1.{key}"));
    assert_eq!(names[..7], layer1.collect::<Vec<_>>());
    assert!(names.contains(&"layer2.pooling") && !names.contains(&"layer3.pooling"));
    assert_eq!(space.decisions()[0].kind(), "kernel_height");
    let dropout = &space.decisions()[6];
    assert_eq!(dropout.values(), [Value::Integer(0), Value::number(0.25).unwrap()]);
}

#[test]
fn errors_carry_their_place() {
    let text = "name = \"x\"\n[layers]\ncount = 2\nkernel = [1, 3]\nfilters = [\n  16,\n  0,\n]\n";
    let error = Space::from_toml(text, "space.toml").unwrap_err();
    let SpaceError::File { place, problem } = error else { panic!("{error}") };
    assert_eq!((place.file.as_str(), place.line, place.column), ("space.toml", 7, 3));
    assert!(
        matches!(problem, FileProblem::Value { key, found, .. } if key == "filters" && found == "0")
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Space::from_toml(&String::from_utf8_lossy(&bytes), "bytes");
    }

    /// Nearly valid text reaches further into the reader than noise does.
    #[test]
    fn any_damaged_file_is_read_or_refused(
        choice: prop::sample::Index,
        at: prop::sample::Index,
        length in 0_usize..20,
        patch in "[\\[\\]{}=\",.#\n a-z0-9_-]{0,12}",
    ) {
        let mut all = files("examples");
        all.extend(files("tests/refused"));
        let mut text: Vec<char> = fs::read_to_string(choice.get(&all)).unwrap().chars().collect();
        let start = at.index(text.len());
        let end = text.len().min(start + length);
        text.splice(start..end, patch.chars());
        if let Ok(space) = Space::from_toml(&text.into_iter().collect::<String>(), "damaged") {
            prop_assert_eq!(Space::from_toml(&space.to_toml(), "again").unwrap(), space);
        }
    }
}
