//! Tuning: the settings of a recipe that suit one architecture.
//!
//! After the search the paper does a small grid search for its best architecture, over learning
//! rate, weight decay, the epsilon of batch normalisation and the epoch at which the learning rate
//! falls (arXiv 1611.01578, section 4.1). Here every setting is a trial of the run, measured on the
//! validation images. All are trained from the same random weights, with the images in the same
//! order, so that they differ by their settings alone.

mod grid;

pub use grid::Grid;

use std::collections::BTreeMap;

use nasrl_child::{Epoch, Recipe, Training};
use nasrl_space::{Space, Tokens};

use crate::depth::Stages;
use crate::evaluator::train_and_measure;
use crate::problem::Problem;
use crate::retrain::derived_seed;
use crate::run::Recorder;
use crate::scheduler::{self, Both, Ending, Listener, Plan, SearchError};
use crate::setting::Setting;
use crate::strategy::{Metrics, Proposal, Rejection, Strategy, StrategyError};
use crate::{Evaluator, Failure, Job, Measurement, Outcome, Reward, Stop, Trial};

/// What to tune.
#[derive(Clone, Copy)]
pub struct Tuning<'a> {
    /// What the run searched; the test images among its images are not looked at.
    pub problem: &'a Problem,
    /// The recipe of the run.
    pub recipe: &'a Recipe,
    /// From accuracies to rewards.
    pub reward: Reward,
    /// The seed of the run.
    pub seed: u64,
    /// The trial that has the architecture.
    pub trial: u64,
    /// The architecture.
    pub tokens: &'a Tokens,
    /// The settings to try, all different.
    pub settings: &'a [Setting],
    /// The number of the first setting's trial; the others follow.
    pub first: u64,
    /// How many settings are tried at once.
    pub jobs: usize,
    /// How many threads train each of them.
    pub threads: usize,
}

/// The strategy's name in `trials.csv`.
pub const TUNE: &str = "tune";

impl Tuning<'_> {
    /// Tries all settings whose results are not among the `known`, and records everything.
    ///
    /// # Errors
    /// [`SearchError`]; tuning can be gone on with once the reason is gone.
    pub fn run(
        &self,
        (recorder, known): (&mut Recorder<'_>, Vec<Trial>),
        stop: &Stop,
        listener: &mut dyn Listener,
    ) -> Result<Ending, SearchError> {
        let count = self.settings.len() as u64;
        let known: BTreeMap<u64, Trial> = known
            .into_iter()
            .map(|trial| (trial.proposed.trial, trial))
            .filter(|(number, _)| (self.first..self.first + count).contains(number))
            .collect();
        let architectures = self.problem.architectures();
        let plan = Plan {
            architectures: &architectures,
            evaluator: self,
            strategies: vec![Box::new(Settings { tokens: self.tokens, settings: self.settings })],
            stages: &Stages::whole(self.problem.space()),
            first: self.first,
            trials: count,
            lag: 0,
            jobs: self.jobs,
            deadline: None,
            known,
        };
        scheduler::run(plan, stop, &mut Both(recorder, listener))
    }
}

impl Evaluator for Tuning<'_> {
    fn evaluate(&self, job: &Job<'_>, stop: &Stop, report: &dyn Fn(&Epoch)) -> Outcome {
        let (Some(dataset), Some(graph), Some(setting)) =
            (self.problem.dataset(), job.graph, job.setting)
        else {
            let reason = "there is no network, or nothing to train it on".to_owned();
            return Outcome::Failed(Failure::Invalid, reason);
        };
        let training = Training {
            seed: derived_seed(self.seed, self.trial, "tune"),
            trial: self.trial,
            threads: self.threads,
            cancel: Some(stop.flag()),
            on_epoch: Some(&mut |epoch| report(epoch)),
            ..Training::default()
        };
        let recipe = setting.apply(self.recipe);
        let child = (graph, &recipe, dataset);
        let outcome = train_and_measure(self.problem.devices(), child, training, self.reward);
        match outcome {
            // The architecture is what the search found; its weights are not what is tuned.
            Outcome::Done(measured) => Outcome::Done(Measurement { weights: None, ..measured }),
            other => other,
        }
    }
}

/// Proposes one architecture with one setting after another.
struct Settings<'a> {
    tokens: &'a Tokens,
    settings: &'a [Setting],
}

impl Strategy for Settings<'_> {
    fn name(&self) -> &'static str {
        TUNE
    }

    fn learns(&self) -> bool {
        false
    }

    fn propose(
        &mut self,
        trial: u64,
        _: &Space,
        _: &dyn Fn(&Tokens) -> Option<Rejection>,
    ) -> Result<Option<Proposal>, StrategyError> {
        let setting = usize::try_from(trial).ok().and_then(|trial| self.settings.get(trial));
        Ok(setting.map(|setting| Proposal {
            tokens: self.tokens.clone(),
            setting: Some(*setting),
            log_probability: None,
            entropy: None,
            redraws: 0,
            restarted: false,
        }))
    }

    fn observe(&mut self, _: u64, _: &Tokens, _: f64) -> Result<(), StrategyError> {
        Ok(())
    }

    fn metrics(&self) -> Metrics {
        Metrics::default()
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, StrategyError> {
        Ok(None)
    }
}
