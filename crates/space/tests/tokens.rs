//! Decisions and tokens: reading, printing, counting, sampling.

use std::collections::BTreeSet;
use std::convert::Infallible;

use nasrl_space::{Decision, DecisionError, Space, SpaceError, Tokens, Value};
use num_bigint::BigUint;
use proptest::prelude::*;
use rand_core::TryRng;

/// SplitMix64 (Steele, Lea and Flood 2014): a counter, scrambled.
struct Counter(u64);

impl Counter {
    fn new(seed: u64) -> Counter {
        Counter(seed)
    }
}

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.try_next_u64()? >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(x ^ (x >> 31))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.try_next_u64()?.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

fn word_space() -> Space {
    let values = |texts: &[&str]| texts.iter().map(|&text| Value::from(text)).collect();
    let decisions = vec![
        Decision::new("operation", "operation", values(&["skip", "expand 3", "é"])).unwrap(),
        Decision::new("rate", "rate", values(&["0", "0.25"])).unwrap(),
        Decision::new("only", "only", values(&["x"])).unwrap(),
    ];
    Space::from_decisions("words", decisions).unwrap()
}

#[test]
fn the_reference_space_has_its_decisions_in_order() {
    let space = Space::reference();
    let found: Vec<_> = space.decisions().iter().map(|d| (d.name(), d.kind())).collect();
    let expected = [
        ("layer1.kernel", "kernel"),
        ("layer1.filters", "filters"),
        ("layer2.kernel", "kernel"),
        ("layer2.filters", "filters"),
        ("layer3.kernel", "kernel"),
        ("layer3.filters", "filters"),
        ("layer4.kernel", "kernel"),
        ("layer4.filters", "filters"),
    ];
    assert_eq!(found, expected);
    assert_eq!(space.decisions()[0].values(), [1, 3].map(Value::Integer));
    assert_eq!(space.decisions()[7].values(), [16, 32, 64].map(Value::Integer));
    assert_eq!(space.count(), BigUint::from(1296_u32));
}

#[test]
fn tokens_are_values_in_order() {
    let space = Space::reference();
    let tokens = space.parse(" 3, 64,3,64 ,3,32,3,64").unwrap();
    assert_eq!(tokens.as_slice(), [1, 2, 1, 2, 1, 1, 1, 2]);
    assert_eq!(space.format(&tokens), "3,64,3,64,3,32,3,64");
    let words = "conv 3x3 64 /2, conv 3x3 64, conv 3x3 32 /2, conv 3x3 64";
    assert_eq!(space.describe(&tokens), words);
    let words = word_space();
    let tokens = words.parse("expand 3,0.25,x").unwrap();
    assert_eq!(words.describe(&tokens), "operation=expand 3, rate=0.25, only=x");
}

#[test]
fn words_name_what_a_layer_does() {
    let text = include_str!("../examples/every-key.toml");
    let space = Space::from_toml(text, "every-key.toml").unwrap();
    let layers = ["1,5,2,16,on,tanh,0.25", "3,3,1,32,off,relu,average,0", "3,1,1,64,off,tanh,0"];
    let tokens = space.parse(&layers.join(",")).unwrap();
    let expected = [
        "conv 3x3 16",
        "conv 1x5 16 /1x2 + batch norm + tanh + dropout 0.25",
        "conv 3x3 32 + relu + average pool 2x2 /2",
        "conv 3x1 64 + tanh + max pool 2x2 /2",
        "head dropout 0.5",
    ];
    assert_eq!(space.describe(&tokens), expected.join(", "));
}

#[test]
fn wrong_tokens_are_refused_in_words() {
    let space = Space::reference();
    let refused = |text: &str| space.parse(text).unwrap_err();
    let error = refused("3,64,3,64,3,33,3,64");
    assert!(matches!(&error, SpaceError::UnknownValue { position: 6, found, .. } if found == "33"));
    let words = "token 6 (layer3.filters) is \"33\", which is not one of its values: 16, 32, 64";
    assert_eq!(error.to_string(), words);
    for (text, count) in [("", 1), ("3,64", 2), ("3,64,3,64,3,32,3,64,", 9)] {
        let error = refused(text);
        assert!(matches!(error, SpaceError::TokenCount { found, .. } if found == count), "{error}");
    }
    for text in ["03,64,3,64,3,32,3,64", "3,64,3,64,3,32,3,6 4", "3,64,3,64,3,32,3,\u{0}"] {
        assert!(matches!(refused(text), SpaceError::UnknownValue { .. }));
    }
    let error = space.tokens(vec![0, 0, 0, 0, 0, 3, 0, 0]).unwrap_err();
    assert!(matches!(error, SpaceError::UnknownIndex { position: 6, found: 3, count: 3, .. }));
    assert!(matches!(space.tokens(vec![0]), Err(SpaceError::TokenCount { found: 1, .. })));
}

#[test]
fn spaces_that_contradict_themselves_are_refused() {
    let make = |values: Vec<Value>| match Decision::new("d", "d", values) {
        Err(SpaceError::Decision { reason, .. }) => Some(reason),
        _ => None,
    };
    assert_eq!(make(vec![]), Some(DecisionError::NoValues));
    assert_eq!(make(vec![1.into(), Value::Word("01".into())]), None);
    let twice = Some(DecisionError::Duplicate { value: 1.into() });
    assert_eq!(make(vec![1.into(), 1.into()]), twice);
    assert_eq!(make(vec![1.into(), Value::Word("1".into())]), twice);
    for word in ["", " a", "a ", "a,b", "a\nb"] {
        let value = Value::Word(word.into());
        assert_eq!(make(vec![value.clone()]), Some(DecisionError::Unwritable { value }));
    }
    let most: Vec<_> = (0..65_536).map(Value::Integer).collect();
    assert_eq!(make(most.clone()), None);
    let more = most.into_iter().chain([Value::from(-1)]).collect();
    assert_eq!(make(more), Some(DecisionError::TooManyValues { found: 65_537 }));
    let decision = Decision::new("d", "d", vec![1.into()]).unwrap();
    let twice = Space::from_decisions("s", vec![decision.clone(), decision]);
    assert!(matches!(twice, Err(SpaceError::DuplicateDecision { .. })));
    assert!(matches!(Space::from_decisions("s", vec![]), Err(SpaceError::NoDecisions { .. })));
}

#[test]
fn counting_and_ranking_agree_with_enumeration() {
    for space in [Space::reference(), word_space()] {
        let all: Vec<Tokens> = space.iter().collect();
        assert_eq!(space.count(), BigUint::from(all.len()));
        assert!(all.is_sorted_by(|a, b| a < b));
        for (rank, tokens) in all.iter().enumerate() {
            assert_eq!(space.unrank(&rank.into()).as_ref(), Some(tokens));
            assert_eq!(space.parse(&space.format(tokens)).unwrap(), *tokens);
        }
        assert_eq!(space.unrank(&space.count()), None);
    }
}

#[test]
fn large_spaces_are_counted_exactly() {
    let text = include_str!("../examples/rectangular.toml");
    let space = Space::from_toml(text, "rectangular.toml").unwrap();
    assert_eq!(space.count(), BigUint::from(4_u32).pow(18));
    let text = text.replace("count = 6", "count = 1000");
    let space = Space::from_toml(&text, "deep.toml").unwrap();
    assert_eq!(space.count(), BigUint::from(4_u32).pow(3000));
    let last = space.unrank(&(space.count() - 1_u32)).unwrap();
    assert!(last.as_slice().iter().all(|&index| index == 3));
}

#[test]
fn sampling_is_uniform_and_repeatable() {
    let space = Space::reference();
    let draw = |seed| {
        let mut rng = Counter::new(seed);
        (0..10_000).map(|_| space.sample(&mut rng)).collect::<Vec<_>>()
    };
    let samples = draw(7);
    assert_eq!(samples, draw(7));
    assert_ne!(samples, draw(8));
    for (position, decision) in space.decisions().iter().enumerate() {
        let count = decision.values().len();
        let expected = samples.len() as f64 / count as f64;
        let mut seen = vec![0.0; count];
        samples.iter().for_each(|tokens| seen[tokens.index(position)] += 1.0);
        let chi_squared: f64 = seen.iter().map(|n| (n - expected).powi(2) / expected).sum();
        // The 99.99 % point at two degrees of freedom.
        assert!(chi_squared < 18.4, "{}: {seen:?}", decision.name());
    }
}

proptest! {
    #[test]
    fn any_space_prints_what_it_parses(
        values in prop::collection::vec(prop::collection::btree_set("[a-z]{1,3}|-?[0-9]{1,3}(\\.[0-9])?", 1..5), 1..6),
        seed: u64,
    ) {
        let decision = |(i, texts): (usize, &BTreeSet<String>)| {
            let values = texts.iter().map(|text| Value::from(text.as_str())).collect();
            Decision::new(format!("d{i}"), "d", values).unwrap()
        };
        let space = Space::from_decisions("s", values.iter().enumerate().map(decision).collect()).unwrap();
        let tokens = space.sample(&mut Counter::new(seed));
        prop_assert_eq!(space.parse(&space.format(&tokens)).unwrap(), tokens.clone());
        prop_assert_eq!(space.tokens(tokens.as_slice().to_vec()).unwrap(), tokens);
        prop_assert_eq!(Space::from_toml(&space.to_toml(), "again").unwrap(), space);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,40}|[0-9,]{0,30}") {
        let space = Space::reference();
        if let Ok(tokens) = space.parse(&text) {
            prop_assert_eq!(space.format(&tokens), text.replace(char::is_whitespace, ""));
        }
    }
}
