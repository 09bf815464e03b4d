//! Tables, sound and broken.

use nasrl_search::table::{Table, TableProblem};
use proptest::prelude::*;

fn read(text: &str) -> Result<Table, TableProblem> {
    Table::from_bytes(text.as_bytes(), "some.csv").map_err(|error| error.problem)
}

const SOUND: &str =
    "width,act,reward,cost,note\n16,relu,0.5,3,x\n8,relu,0.25,1.5,\n16,tanh,-1,2,y\n";

#[test]
fn columns_left_of_the_reward_are_decisions() {
    let table = read(SOUND).unwrap();
    let space = table.space();
    let values = |index: usize| -> Vec<String> {
        space.decisions()[index].values().iter().map(ToString::to_string).collect()
    };
    assert_eq!((space.name(), table.len()), ("some", 3));
    assert_eq!(
        (values(0), values(1)),
        (vec!["8".into(), "16".into()], vec!["relu".into(), "tanh".into()])
    );
    let tokens = |text: &str| space.parse(text).unwrap();
    assert_eq!(table.reward(&tokens("16,tanh")), Some(-1.0));
    assert_eq!(table.reward(&tokens("8,tanh")), None);
    assert_eq!(table.value(&tokens("8,relu"), "cost").unwrap(), 1.5);
    assert_eq!(table.value(&tokens("8,relu"), "reward").unwrap(), 0.25);
    for (text, column, message) in [
        ("8,relu", "note", "column `note` of tokens 8,relu is \"\"; a number is expected"),
        ("16,relu", "note", "column `note` of tokens 16,relu is \"x\"; a number is expected"),
        ("8,relu", "price", "no column `price`; there are: reward, cost, note"),
    ] {
        let refused = table.value(&tokens(text), column).unwrap_err();
        assert_eq!(refused.to_string(), format!("table some.csv: {message}"));
    }
}

/// The order of the rows is not part of the space.
#[test]
fn the_space_depends_on_the_values_alone() {
    let mut lines: Vec<&str> = SOUND.lines().collect();
    lines[1..].reverse();
    let reversed = read(&(lines.join("\n") + "\n")).unwrap();
    assert_eq!(reversed.space(), read(SOUND).unwrap().space());
    assert_ne!(reversed.digest(), read(SOUND).unwrap().digest());
}

#[test]
fn nas_bench_macro_is_read() {
    let text = r#"{"02012100": {"test_acc": [89.5, 88.5, 89.0], "mean_acc": 89.0, "std": 0.2,
        "params": 890666, "flops": 47327744}, "11111221": {"test_acc": [92.0], "mean_acc": 92.5,
        "std": 0.1, "params": 2181386, "flops": 65012224}}"#;
    let table = read(text).unwrap();
    let names: Vec<&str> = table.space().decisions().iter().map(|d| d.name()).collect();
    assert_eq!((names[0], names[7], names.len()), ("position1", "position8", 8));
    let tokens = table.space().parse("1,1,1,1,1,2,2,1").unwrap();
    assert_eq!(table.reward(&tokens), Some(0.925));
    assert_eq!(table.value(&tokens, "reward").unwrap(), 92.5);
    assert_eq!(table.value(&tokens, "mean_acc").unwrap(), 92.5);
    assert_eq!(table.value(&tokens, "params").unwrap(), 2_181_386.0);
}

#[test]
fn broken_tables_are_refused_by_what_is_wrong() {
    use TableProblem as P;
    let refused = |text: &str| read(text).unwrap_err();
    assert!(matches!(refused(""), P::NoReward(columns) if columns.is_empty()));
    assert!(matches!(refused("a,b\n1,2\n"), P::NoReward(_)));
    assert!(matches!(refused("reward,a\n1,2\n"), P::NoDecisions));
    assert!(matches!(refused("a,a,reward\n1,2,3\n"), P::DuplicateColumn(name) if name == "a"));
    assert!(matches!(refused("a,,reward\n1,2,3\n"), P::UnnamedColumn(2)));
    assert!(matches!(refused("a,reward\n"), P::NoRows));
    assert!(matches!(refused("a,reward\n1,0.5\n2\n"), P::Csv { place, .. } if place == "line 3"));
    for (text, place) in [("a,reward\n1,0.5\n2,high\n", "line 3"), ("a,reward\n1,inf\n", "line 2")]
    {
        assert!(matches!(refused(text), P::Reward { place: found, .. } if found == place));
    }
    let twice = refused("a,reward\n1,0.5\n2,0.5\n1,0.25\n");
    assert_eq!(twice.to_string(), "line 4: tokens 1 are in line 2 already; keep one of the rows");
    assert!(matches!(refused("a,reward\n\"1,5\",0.5\n"), P::Space(_)));
    assert!(matches!(refused("a,reward\n,0.5\n"), P::Space(_)));
    assert!(matches!(refused("{\"0201210\": {}}"), P::Json(_)));
    let short = r#"{"0201210": {"mean_acc": 1, "std": 1, "params": 1, "flops": 1}}"#;
    assert!(matches!(refused(short), P::Architecture(name) if name == "0201210"));
    let digits = r#"{"02012103": {"mean_acc": 1, "std": 1, "params": 1, "flops": 1}}"#;
    assert!(matches!(refused(digits), P::Architecture(_)));
    assert!(matches!(refused("{}"), P::NoRows));
    let bytes = Table::from_bytes(b"a,reward\n\xff,0.5\n", "x").unwrap_err().problem;
    assert!(matches!(bytes, P::Csv { place, .. } if place == "line 2"));
}

proptest! {
    #[test]
    fn nothing_makes_the_reader_panic(bytes: Vec<u8>) {
        let _ = Table::from_bytes(&bytes, "x");
    }

    /// A sound table with a piece cut out, doubled or overwritten is refused or read, and what is
    /// read can be asked for everything.
    #[test]
    fn damage_is_noticed_or_harmless(
        from in 0..SOUND.len(),
        length in 0..20_usize,
        patch in "[0-9a-z,.\"\n{}-]{0,12}",
    ) {
        let end = (from + length).min(SOUND.len());
        let text = format!("{}{patch}{}", &SOUND[..from], &SOUND[end..]);
        if let Ok(table) = read(&text) {
            let rewards = table.space().iter().filter_map(|tokens| table.reward(&tokens));
            let rewards: Vec<f64> = rewards.collect();
            prop_assert_eq!(rewards.len(), table.len());
            prop_assert!(rewards.iter().all(|reward| reward.is_finite()));
        }
    }

    #[test]
    fn what_is_written_is_read(rewards in prop::collection::vec(-1e6..1e6_f64, 1..40)) {
        let rows: String = rewards.iter().enumerate()
            .map(|(index, reward)| format!("{},{},{reward}\n", index / 5, index % 5))
            .collect();
        let table = read(&format!("a,b,reward\n{rows}")).unwrap();
        for (index, reward) in rewards.iter().enumerate() {
            let tokens = table.space().parse(&format!("{},{}", index / 5, index % 5)).unwrap();
            prop_assert_eq!(table.reward(&tokens), Some(*reward));
        }
    }
}
