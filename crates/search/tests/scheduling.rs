//! The order of trials, and what becomes of those that go wrong.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nasrl_child::Epoch;
use nasrl_search::depth::Stages;
use nasrl_search::scheduler::{self, Ending, Plan, Reason, SearchError};
use nasrl_search::strategy::{Metrics, Proposal, Rejection, Strategy, StrategyError};
use nasrl_search::{
    Architectures, Evaluator, FAILED_REWARD, Failure, Images, Job, Measurement, Outcome, Status,
    Stop, Trial,
};
use nasrl_space::{Decision, Image, Space, Tokens, Value};

/// A space of the numbers below 100.
fn space() -> Space {
    let values = (0..100).map(Value::Integer).collect();
    let decision = Decision::new("number", "number", values).unwrap();
    Space::from_decisions("numbers", vec![decision]).unwrap()
}

/// Proposes the tokens of a list, and notes every call.
struct Scripted<'a> {
    space: &'a Space,
    script: Vec<String>,
    learns: bool,
    calls: Rc<RefCell<Vec<Call>>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Call {
    Propose(u64),
    Observe(u64, f64),
}

impl Strategy for Scripted<'_> {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn learns(&self) -> bool {
        self.learns
    }

    fn propose(
        &mut self,
        trial: u64,
        _: &Space,
        _: &dyn Fn(&Tokens) -> Option<Rejection>,
    ) -> Result<Option<Proposal>, StrategyError> {
        self.calls.borrow_mut().push(Call::Propose(trial));
        Ok(self.script.get(trial as usize).map(|tokens| Proposal {
            tokens: self.space.parse(tokens).unwrap(),
            setting: None,
            log_probability: None,
            entropy: None,
            redraws: 0,
            restarted: false,
        }))
    }

    fn observe(&mut self, trial: u64, _: &Tokens, reward: f64) -> Result<(), StrategyError> {
        self.calls.borrow_mut().push(Call::Observe(trial, reward));
        Ok(())
    }

    fn metrics(&self) -> Metrics {
        Metrics::default()
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, StrategyError> {
        Ok(None)
    }
}

/// Rewards by a function of the number; counts evaluations, and those at one time.
struct Function<F> {
    function: F,
    evaluated: Mutex<Vec<u64>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl<F: Fn(i64, &Stop) -> Outcome + Sync> Evaluator for Function<F> {
    fn evaluate(&self, job: &Job<'_>, stop: &Stop, _: &dyn Fn(&Epoch)) -> Outcome {
        self.evaluated.lock().unwrap().push(job.trial);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        let outcome = (self.function)(i64::from(job.tokens.as_slice()[0]), stop);
        self.running.fetch_sub(1, Ordering::SeqCst);
        outcome
    }
}

fn evaluator<F: Fn(i64, &Stop) -> Outcome + Sync>(function: F) -> Function<F> {
    Function {
        function,
        evaluated: Mutex::default(),
        running: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
    }
}

fn done(reward: f64) -> Outcome {
    Outcome::Done(Measurement { reward, ..Measurement::default() })
}

struct Setup {
    script: Vec<i64>,
    lag: u64,
    jobs: usize,
    known: BTreeMap<u64, Trial>,
}

fn search(
    setup: Setup,
    evaluator: &dyn Evaluator,
    stop: &Stop,
) -> (Result<Ending, SearchError>, Vec<Call>) {
    let space = space();
    let calls = Rc::default();
    let trials = setup.script.len() as u64;
    let script = setup.script.iter().map(i64::to_string).collect();
    let scripted = Scripted { space: &space, script, learns: true, calls: Rc::clone(&calls) };
    let architectures = Architectures::token_strings(&space);
    let plan = Plan {
        architectures: &architectures,
        evaluator,
        strategies: vec![Box::new(scripted)],
        stages: &Stages::whole(&space),
        first: 0,
        trials,
        lag: setup.lag,
        jobs: setup.jobs,
        deadline: None,
        known: setup.known,
    };
    let ending = scheduler::run(plan, stop, &mut ());
    let calls = calls.borrow().clone();
    (ending, calls)
}

/// Before trial t exactly the trials before t - lag were learned from, in order, however late or
/// early their results came.
#[test]
fn a_strategy_knows_what_its_lag_says() {
    for (lag, jobs) in [(0, 1), (0, 4), (1, 2), (3, 1), (3, 2), (3, 8), (50, 3)] {
        let evaluator = evaluator(|number, _| {
            std::thread::sleep(Duration::from_millis((number % 4) as u64 * 3));
            done(number as f64)
        });
        let script: Vec<i64> = (0..20).map(|index| index * 7 % 100).collect();
        let setup = Setup { script: script.clone(), lag, jobs, known: BTreeMap::new() };
        let (ending, calls) = search(setup, &evaluator, &Stop::new());
        let ending = ending.unwrap();
        assert_eq!((ending.reason, ending.trials.len()), (Reason::Complete, 20));
        let mut expected = Vec::new();
        let reward = |trial: u64| script[trial as usize] as f64;
        for trial in 0..20 {
            if let Some(due) = u64::checked_sub(trial, lag + 1) {
                expected.push(Call::Observe(due, reward(due)));
            }
            expected.push(Call::Propose(trial));
        }
        let left = 20_u64.saturating_sub(lag + 1)..20;
        expected.extend(left.map(|trial| Call::Observe(trial, reward(trial))));
        assert_eq!(calls, expected, "lag {lag}, {jobs} jobs");
        let most = evaluator.most.into_inner();
        assert!(most <= jobs.min(lag as usize + 1), "{most} at once, lag {lag}, {jobs} jobs");
    }
}

#[test]
fn a_duplicate_waits_for_its_original() {
    let evaluator = evaluator(|number, _| {
        let slow = if number == 5 { 60 } else { 1 };
        std::thread::sleep(Duration::from_millis(slow));
        done(number as f64)
    });
    let setup = Setup { script: vec![5, 5, 1, 5, 1], lag: 10, jobs: 4, known: BTreeMap::new() };
    let (ending, _) = search(setup, &evaluator, &Stop::new());
    let trials = ending.unwrap().trials;
    let status: Vec<_> = trials.iter().map(|trial| (trial.status, trial.duplicate_of)).collect();
    let repeat = |of| (Status::Duplicate, Some(of));
    let expected = [(Status::Done, None), repeat(0), (Status::Done, None), repeat(0), repeat(2)];
    assert_eq!(status, expected);
    assert_eq!(trials.iter().map(|t| t.reward).collect::<Vec<_>>(), [5.0, 5.0, 1.0, 5.0, 1.0]);
    let mut evaluated = evaluator.evaluated.into_inner().unwrap();
    evaluated.sort_unstable();
    assert_eq!(evaluated, [0, 2]);
}

#[test]
fn failures_are_trials_with_a_reward() {
    let evaluator = evaluator(|number, _| match number {
        0 => panic!("an arithmetic accident"),
        1 => Outcome::Failed(Failure::OutOfMemory, "too much".to_owned()),
        2 => done(f64::NAN),
        3 => Outcome::Failed(Failure::TooLarge, String::new()),
        _ => done(1.0),
    });
    nasrl_search::panics::silence();
    let setup = Setup { script: (0..5).collect(), lag: 2, jobs: 2, known: BTreeMap::new() };
    let (ending, calls) = search(setup, &evaluator, &Stop::new());
    let trials = ending.unwrap().trials;
    let status: Vec<String> = trials.iter().map(|trial| trial.status.to_string()).collect();
    assert_eq!(status, ["panicked", "out_of_memory", "nan", "too_large", "done"]);
    let detail = trials[0].detail.as_ref().unwrap();
    assert!(detail.starts_with("an arithmetic accident at ") && detail.contains("scheduling.rs"));
    assert_eq!(trials[2].detail.as_deref(), Some("the reward is NaN"));
    let rewards: Vec<f64> = trials.iter().map(|trial| trial.reward).collect();
    assert_eq!(rewards[..4], [FAILED_REWARD; 4]);
    assert!(calls.contains(&Call::Observe(0, FAILED_REWARD)));
}

#[test]
fn what_is_known_is_not_evaluated_again() {
    let evaluator = evaluator(|number, _| done(number as f64));
    let script = vec![3, 1, 4, 1, 5];
    let fresh = || Setup { script: script.clone(), lag: 1, jobs: 2, known: BTreeMap::new() };
    let (whole, calls) = search(fresh(), &evaluator, &Stop::new());
    let whole = whole.unwrap().trials;
    evaluator.evaluated.lock().unwrap().clear();
    for missing in 0..5 {
        let known = whole.iter().filter(|trial| trial.proposed.trial != missing);
        let known = known.map(|trial| (trial.proposed.trial, trial.clone())).collect();
        let (ending, again) = search(Setup { known, ..fresh() }, &evaluator, &Stop::new());
        let trials = ending.unwrap().trials;
        assert_eq!(again, calls);
        for (trial, expected) in trials.iter().zip(&whole) {
            assert_eq!(trial.proposed, expected.proposed);
            assert_eq!((trial.status, trial.reward), (expected.status, expected.reward));
        }
    }
    // The fourth trial is a duplicate, which needs no evaluation.
    assert_eq!(*evaluator.evaluated.lock().unwrap(), [0, 1, 2, 4]);
}

#[test]
fn known_results_of_other_tokens_are_refused() {
    let evaluator = evaluator(|number, _| done(number as f64));
    let setup = |script: Vec<i64>, known| Setup { script, lag: 0, jobs: 1, known };
    let (ending, _) = search(setup(vec![3, 1], BTreeMap::new()), &evaluator, &Stop::new());
    let known = ending.unwrap().trials.into_iter().map(|t| (t.proposed.trial, t)).collect();
    let (ending, _) = search(setup(vec![3, 2], known), &evaluator, &Stop::new());
    match ending {
        Err(SearchError::Diverged { trial: 1, recorded, proposed }) => {
            assert_eq!((recorded.as_str(), proposed.as_str()), ("1", "2"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stop_abandons_what_runs_and_keeps_what_is_done() {
    let stop = Stop::new();
    let evaluator = evaluator(|number, abandon: &Stop| {
        if number == 2 {
            stop.request();
        }
        match number < 2 || abandon.sleep(Duration::from_secs(60)) {
            true => done(number as f64),
            false => Outcome::Stopped,
        }
    });
    let started = Instant::now();
    let setup = Setup { script: (0..9).collect(), lag: 1, jobs: 2, known: BTreeMap::new() };
    let (ending, _) = search(setup, &evaluator, &stop);
    let ending = ending.unwrap();
    assert_eq!(ending.reason, Reason::Stopped);
    assert!(ending.trials.iter().all(|trial| trial.proposed.trial < 2));
    assert!(started.elapsed() < Duration::from_secs(30));
}

/// Whatever is proposed may start in any order: the most operations first. What a strategy that
/// learns needs for its next proposal goes before all others.
#[test]
fn the_longest_trials_start_first() {
    let space = Space::open("reference").unwrap();
    let images = Images { shape: Image { height: 8, width: 8, channels: 3 }, classes: 10 };
    let architectures = Architectures::networks(&space, images);
    let filters = [[16, 16], [64, 64], [16, 32], [64, 16], [32, 32], [16, 64]];
    let script: Vec<String> = filters.map(|[a, b]| format!("3,{a},3,{b},1,16,1,16")).into();
    for (learns, lag, expected) in [
        (false, 0, [1, 3, 4, 5, 2, 0]),
        (true, 0, [0, 1, 2, 3, 4, 5]),
        (true, 2, [0, 1, 2, 3, 4, 5]),
        (true, 4, [0, 1, 2, 3, 4, 5]),
        (true, 5, [1, 3, 4, 5, 2, 0]),
    ] {
        let evaluator = evaluator(|_, _| done(0.5));
        let (script, calls) = (script.clone(), Rc::default());
        let plan = Plan {
            architectures: &architectures,
            evaluator: &evaluator,
            strategies: vec![Box::new(Scripted { space: &space, script, learns, calls })],
            stages: &Stages::whole(&space),
            first: 0,
            trials: 6,
            lag,
            jobs: 1,
            deadline: None,
            known: BTreeMap::new(),
        };
        let ending = scheduler::run(plan, &Stop::new(), &mut ()).unwrap();
        assert_eq!(ending.reason, Reason::Complete);
        let evaluated = evaluator.evaluated.into_inner().unwrap();
        assert_eq!(evaluated, expected, "learns: {learns}, lag {lag}");
    }
}
