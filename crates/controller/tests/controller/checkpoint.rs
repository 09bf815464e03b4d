use std::collections::HashSet;

use nasrl_controller::{CheckpointError, Config, Error, Policy, Preset, Reinforce};
use nasrl_space::{Space, Tokens};
use nasrl_tensor::Cpu;

use crate::{controller, draw, space};

struct Search {
    controller: Reinforce<Cpu>,
    seen: HashSet<Tokens>,
    trial: u64,
}

impl Search {
    fn new(space: &Space, config: &Config) -> Self {
        Search { controller: controller(space, config, 11), seen: HashSet::new(), trial: 0 }
    }

    fn advance(&mut self, trials: u64) -> Vec<Tokens> {
        let step = |_| {
            let seen = |tokens: &Tokens| self.seen.contains(tokens);
            let tokens = draw(&mut self.controller, self.trial, seen).tokens;
            let sum: u16 = tokens.as_slice().iter().sum();
            self.controller.observe(self.trial, &tokens, f64::from(sum) / 18.0).unwrap();
            self.seen.insert(tokens.clone());
            self.trial += 1;
            tokens
        };
        (0..trials).map(step).collect()
    }
}

#[test]
fn a_restored_controller_goes_on_as_the_saved_one() {
    let space = space(&[4; 4]);
    for preset in Preset::ALL {
        let config = preset.config();
        let mut search = Search::new(&space, &config);
        // With `default` past a restart, with `paper` in the middle of a batch of 8.
        search.advance(101);
        let bytes = search.controller.checkpoint().unwrap();
        let controller = Reinforce::restore(&Cpu::serial(), &space, &config, &bytes).unwrap();
        assert_eq!(controller.metrics(), search.controller.metrics(), "{preset}");
        let mut restored = Search { controller, seen: search.seen.clone(), trial: search.trial };
        assert_eq!(restored.controller.checkpoint().unwrap(), bytes, "{preset}");
        assert_eq!(restored.advance(60), search.advance(60), "{preset}");
        let ends = [&restored, &search].map(|search| search.controller.checkpoint().unwrap());
        assert!(ends[0] == ends[1], "{preset}");
    }
}

#[test]
fn a_policy_is_restored_alone() {
    let space = space(&[4; 4]);
    let mut search = Search::new(&space, &Config::default());
    let tokens = search.advance(30).remove(0);
    let bytes = search.controller.checkpoint().unwrap();
    let config = Config { learning_rate: 0.01, ..Config::default() };
    let mut policy = Policy::restore(&Cpu::serial(), &space, &config, &bytes).unwrap();
    let expected = search.controller.policy().distributions(&tokens).unwrap();
    assert_eq!(policy.distributions(&tokens).unwrap(), expected);
    Reinforce::with_policy(policy, 3).unwrap();
}

#[test]
fn other_spaces_other_settings_and_other_files_are_refused() {
    let space = space(&[4; 4]);
    let config = Config::default();
    let mut search = Search::new(&space, &config);
    search.advance(5);
    let bytes = search.controller.checkpoint().unwrap();
    let refusal = |space: &Space, config: &Config, bytes: &[u8]| match Reinforce::restore(
        &Cpu::serial(),
        space,
        config,
        bytes,
    ) {
        Err(Error::Checkpoint(refusal)) => refusal,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("restored"),
    };
    let other = refusal(&crate::space(&[4; 5]), &config, &bytes);
    assert!(matches!(other, CheckpointError::Space { .. }), "{other}");
    let other = refusal(&space, &Config { units: 16, ..config.clone() }, &bytes);
    assert!(
        matches!(&other, CheckpointError::Config { found } if found == "units = 32"),
        "{other}"
    );
    let other = refusal(&space, &config, &bytes[..bytes.len() - 1]);
    assert!(matches!(other, CheckpointError::Format(_)), "{other}");
    let other = refusal(&space, &config, b"PK");
    assert!(matches!(other, CheckpointError::Format(_)), "{other}");
    let format = bytes.windows(18).position(|window| window == b"nasrl-controller-1").unwrap();
    let mut newer = bytes.clone();
    newer[format + 17] = b'2';
    let other = refusal(&space, &config, &newer);
    assert!(matches!(other, CheckpointError::Entry { .. }), "{other}");

    let policy = |config: &Config| Policy::restore(&Cpu::serial(), &space, config, &bytes);
    let deeper = policy(&Config { layers: 2, ..config.clone() });
    assert!(matches!(deeper, Err(Error::Checkpoint(CheckpointError::Config { .. }))));
    policy(&Preset::Default.config()).unwrap();
}
