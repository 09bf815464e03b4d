//! How good searches of the paper's space are, on a landscape whose optimum is known: the expected
//! accuracy of the best trial by its measured accuracy, mean and standard error over seeds.
//!
//! `cargo bench -p nasrl-benches --bench landscape -- [DEPTH [SEEDS [RATE CLIP]]]`; with a step size
//! and a clip the `default` preset has those.

#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::collections::HashSet;
use std::thread;

use nasrl_benches::landscape::Landscape;
use nasrl_controller::{Config, Preset, Proposal, Reinforce, Rejection};
use nasrl_space::Tokens;
use nasrl_tensor::Cpu;
use nasrl_tensor::random::{Key, Philox};

/// Numbers of trials after which the best so far is reported.
const REPORTED: [usize; 3] = [100, 300, 1000];
const LANDSCAPES: u64 = 4;

/// What proposes architectures.
#[derive(Clone)]
enum Searcher {
    /// Uniform draws.
    Random,
    Controller(Config),
}

fn main() {
    // Cargo passes `--bench` as well.
    let numbers: Vec<f64> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let depth = numbers.first().map_or(6, |&depth| depth as usize);
    let seeds = numbers.get(1).map_or(40, |&seeds| seeds as u64);
    let mut searchers = vec![
        ("random".to_owned(), Searcher::Random),
        ("paper".to_owned(), Searcher::Controller(Preset::Paper.config())),
        ("default".to_owned(), Searcher::Controller(Preset::Default.config())),
    ];
    if let [_, _, learning_rate, clip_norm] = numbers[..] {
        let config = Config { learning_rate, clip_norm, ..Preset::Default.config() };
        let name = format!("step {learning_rate}, clip {clip_norm}");
        searchers = vec![(name, Searcher::Controller(config))];
    }
    println!("depth {depth}, {seeds} seeds on {LANDSCAPES} landscapes; the best has 0.95");
    for (name, searcher) in searchers {
        let results = all(depth, seeds, &searcher);
        let columns = (0..REPORTED.len()).map(|column| {
            let values: Vec<f64> = results.iter().map(|result| result[column]).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            let error = (squares / (values.len() as f64 - 1.0) / values.len() as f64).sqrt();
            format!("{:>5}: {mean:.4} +- {error:.4}", REPORTED[column])
        });
        println!("{name:24} {}", columns.collect::<Vec<_>>().join("   "));
    }
}

/// The results of all seeds, on all cores.
fn all(depth: usize, seeds: u64, searcher: &Searcher) -> Vec<[f64; REPORTED.len()]> {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    thread::scope(|scope| {
        let core = |core: u64| {
            let searcher = searcher.clone();
            scope.spawn(move || {
                let mine = (core..seeds).step_by(cores as usize);
                mine.map(|seed| search(depth, seed, &searcher)).collect::<Vec<_>>()
            })
        };
        let running: Vec<_> = (0..cores).map(core).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect()
    })
}

/// The expected accuracies of the best trials so far.
fn search(depth: usize, seed: u64, searcher: &Searcher) -> [f64; REPORTED.len()] {
    let landscape = Landscape::new(depth, seed % LANDSCAPES);
    let space = landscape.space();
    let mut controller = match searcher {
        Searcher::Random => None,
        Searcher::Controller(config) => {
            Some(Reinforce::new(&Cpu::serial(), space, config, seed).expect("a valid preset"))
        }
    };
    let mut stream = Philox::new(Key::new(seed, 0, "random search"));
    let mut seen: HashSet<Tokens> = HashSet::new();
    let mut best = (f64::NEG_INFINITY, 0.0);
    let mut reported = [0.0; REPORTED.len()];
    for trial in 0..REPORTED[REPORTED.len() - 1] {
        let tokens = match &mut controller {
            None => space.sample(&mut stream),
            Some(controller) => {
                let rejected = |tokens: &Tokens| seen.contains(tokens).then_some(Rejection::Seen);
                match controller.propose(trial as u64, space, &rejected).expect("finite") {
                    Proposal::Drawn(draw) => draw.tokens,
                    Proposal::Exhausted => unreachable!("the space is far larger"),
                }
            }
        };
        let measured = landscape.measured(&tokens, seed, trial as u64);
        if let Some(controller) = &mut controller {
            // The paper's reward.
            controller.observe(trial as u64, &tokens, measured.powi(3)).expect("in turn");
        }
        if measured > best.0 {
            best = (measured, landscape.accuracy(&tokens));
        }
        seen.insert(tokens);
        for (report, trials) in reported.iter_mut().zip(REPORTED) {
            if trial + 1 == trials {
                *report = best.1;
            }
        }
    }
    reported
}
