use std::collections::HashSet;

use nasrl_controller::{Config, Error, Preset, Proposal, Rejection, RewardScale};
use nasrl_space::Tokens;

use crate::{controller, draw, space, tokens};

#[test]
fn a_small_space_is_tried_out_without_repeats_and_then_exhausted() {
    let space = space(&[3, 2, 4]);
    let mut controller = controller(&space, &Config::default(), 2);
    let mut seen = HashSet::new();
    for trial in 0..24 {
        let draw = draw(&mut controller, trial, |tokens| seen.contains(tokens));
        controller.observe(trial, &draw.tokens, f64::from(draw.tokens.as_slice()[2])).unwrap();
        assert!(seen.insert(draw.tokens), "trial {trial}");
    }
    let proposal = controller
        .propose(24, &space, &|tokens| seen.contains(tokens).then_some(Rejection::Seen))
        .unwrap();
    assert_eq!(proposal, Proposal::Exhausted);
}

#[test]
fn a_large_space_where_nothing_is_new_is_exhausted() {
    let space = space(&[4; 12]);
    let mut controller = controller(&space, &Config::default(), 2);
    assert_eq!(
        controller.propose(0, &space, &|_| Some(Rejection::Seen)).unwrap(),
        Proposal::Exhausted
    );
}

#[test]
fn the_needle_in_a_small_space_is_found() {
    let space = space(&[8, 8, 8, 8]);
    let needle = tokens(&space, &[7, 0, 3, 1]);
    let mut controller = controller(&space, &Config::default(), 2);
    let draw = draw(&mut controller, 0, |tokens| *tokens != needle);
    assert_eq!((draw.tokens, draw.redraws, draw.restarted), (needle, 60, true));
}

#[test]
fn repeats_are_proposed_where_they_are_not_redrawn() {
    let space = space(&[2, 2]);
    let mut controller = controller(&space, &Preset::Paper.config(), 2);
    let draw = draw(&mut controller, 0, |_| true);
    assert_eq!((draw.redraws, draw.restarted), (0, false));
}

#[test]
fn a_collapsed_policy_starts_anew() {
    let space = space(&[4; 6]);
    let mut controller = controller(&space, &Config::default(), 3);
    let favourite = tokens(&space, &[1, 2, 3, 0, 1, 2]);
    let poor = tokens(&space, &[0, 0, 0, 0, 0, 0]);
    let mut trial = 0;
    while draw(&mut controller, trial, |_| false).entropy > 0.05 {
        let rewarded = [(&favourite, 1.0), (&poor, 0.0)][trial as usize % 2];
        controller.observe(trial, rewarded.0, rewarded.1).unwrap();
        trial += 1;
        assert!(trial < 2000, "the policy does not collapse");
    }
    let near = |tokens: &Tokens| {
        let pairs = tokens.as_slice().iter().zip(favourite.as_slice());
        pairs.filter(|(a, b)| a != b).count() < 3
    };
    let anew = draw(&mut controller, trial, near);
    assert!(anew.restarted && anew.redraws >= 30, "{anew:?}");
    assert_eq!(controller.metrics().restarts, 1);
    assert_eq!(controller.metrics().baseline, None);
    let fresh = draw(&mut controller, trial, |_| false);
    assert!(fresh.entropy > 6.0, "{fresh:?}");
}

#[test]
fn a_policy_that_meets_limits_does_not_start_anew() {
    let space = space(&[4; 6]);
    let mut controller = controller(&space, &Config::default(), 3);
    let allowed = |tokens: &Tokens| tokens.as_slice()[..5].iter().all(|&choice| choice == 3);
    let barred = |tokens: &Tokens| (!allowed(tokens)).then_some(Rejection::Barred);
    let Proposal::Drawn(draw) = controller.propose(0, &space, &barred).unwrap() else {
        panic!("four token strings are allowed");
    };
    assert!(allowed(&draw.tokens) && draw.redraws > 30 && !draw.restarted, "{draw:?}");
    assert_eq!(controller.metrics().restarts, 0);
}

#[test]
fn proposals_in_between_do_not_matter() {
    let space = space(&[4; 6]);
    let next = |proposals: &[u64]| {
        let mut controller = controller(&space, &Config::default(), 4);
        for trial in 0..20 {
            let tokens = draw(&mut controller, trial, |_| false).tokens;
            for ahead in proposals {
                draw(&mut controller, trial + ahead, |_| false);
            }
            controller.observe(trial, &tokens, f64::from(tokens.as_slice()[0])).unwrap();
        }
        draw(&mut controller, 20, |_| false)
    };
    assert_eq!(next(&[]), next(&[1, 2, 5]));
}

#[test]
fn trials_out_of_turn_and_rewards_that_are_no_numbers_are_refused() {
    let space = space(&[2, 2]);
    let mut controller = controller(&space, &Config::default(), 1);
    let string = tokens(&space, &[0, 1]);
    let early = controller.observe(1, &string, 0.5);
    assert!(matches!(early, Err(Error::Order { found: 1, expected: 0 })));
    let nan = controller.observe(0, &string, f64::NAN);
    assert!(matches!(nan, Err(Error::Reward { trial: 0, .. })));
    let foreign = controller.observe(0, &tokens(&crate::space(&[3, 3]), &[2, 2]), 0.5);
    assert!(matches!(foreign, Err(Error::Tokens { .. })));
    controller.observe(0, &string, 0.5).unwrap();
}

#[test]
fn divergence_is_reported() {
    let space = space(&[4; 3]);
    let config = Config {
        learning_rate: 1e38,
        clip_norm: f64::INFINITY,
        reward_scale: RewardScale::Raw,
        queue_draws: 0,
        ..Config::default()
    };
    let mut controller = controller(&space, &config, 1);
    for trial in 0..50 {
        match controller.propose(trial, &space, &|_| None) {
            Ok(Proposal::Drawn(draw)) => {
                controller.observe(trial, &draw.tokens, 1e6 * (trial % 3) as f64).unwrap();
            }
            Err(Error::Diverged { .. }) => return,
            other => panic!("{other:?}"),
        }
    }
    panic!("steps of 1e44 left the policy finite");
}
