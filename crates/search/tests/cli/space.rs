//! `nasrl space`

use crate::support::Place;

#[test]
fn spaces_can_be_looked_at() {
    let place = Place::new();
    let words = ["reference", "1296", "nas-rl-cnn-pooling", "2.3e15", "2251799813685248"];
    place.expect_words(0, "space list", &words);
    assert_eq!(place.expect(0, "space count nas-rl-cnn --depth 6"), "2251799813685248\n");
    place.expect_words(2, "space count nas-rl-cnn --depth 5", &["found 5 layers", "6 to 20"]);
    assert_eq!(place.expect(0, "space count --space reference"), "1296\n");
    assert_eq!(place.expect(0, "space count reference"), "1296\n");
    place.expect_words(0, "space show --space reference", &["layer1.kernel", "1, 3", "16, 32, 64"]);
    let show = "space show --tokens 3,64,3,64,3,32,3,64 --image 32x32x3";
    let words = ["conv 3x3 64 /2", "●  layer4  conv 3x3 64", "76,330 parameters", "architecture "];
    place.expect_words(0, show, &words);
    place.expect_words(0, &format!("{show} --nodes"), &["layer4.conv", "76330"]);
    place.expect_words(0, &format!("{show} --batch-norm --nodes"), &["layer4.batch_norm"]);
    place.expect_words(2, &format!("{show} --nodes --export"), &["cannot be used with"]);
    let json = place.expect(0, &format!("{show} --export"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["parameters"], 76_330);
    let exported = place.expect(0, "space show --space reference --export");
    place.write("copy.toml", &exported);
    assert_eq!(place.expect(0, "space show --space copy.toml --export"), exported);
}

#[test]
fn samples_are_tokens_of_the_space_and_follow_the_seed() {
    let place = Place::new();
    let sample = |seed: u64| place.expect(0, &format!("space sample --count 5 --seed {seed}"));
    assert_eq!(sample(1), sample(1));
    assert_ne!(sample(1), sample(2));
    for tokens in sample(1).lines() {
        place.expect(0, &format!("space show --tokens {tokens}"));
    }
    let words = ["token 2 (layer1.filters) is \"65\"", "16, 32, 64"];
    place.expect_words(2, "space show --tokens 3,65,3,64,3,32,3,64", &words);
    place.expect_words(2, "space show --image 32 --tokens 1", &["such as 32x32x3"]);
    place.expect_words(2, "space count --space reference reference", &["cannot be used with"]);
}
