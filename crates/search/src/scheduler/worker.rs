//! The thread that evaluates a trial.

use std::sync::mpsc::Sender;
use std::time::Instant;

use nasrl_child::Epoch;
use nasrl_space::{Graph, Tokens};

use crate::setting::Setting;
use crate::{Evaluator, Failure, Job, Outcome, Stop, panics};

/// What a thread has to evaluate.
pub(super) struct Work {
    pub(super) trial: u64,
    pub(super) tokens: Tokens,
    pub(super) setting: Option<Setting>,
    pub(super) graph: Option<Graph>,
}

/// What a thread has to tell.
pub(super) enum Message {
    Epoch { trial: u64, epoch: Epoch },
    Finished { trial: u64, outcome: Outcome, seconds: f64 },
}

/// Evaluates and tells; a panic is a failed trial.
pub(super) fn evaluate(
    evaluator: &dyn Evaluator,
    work: &Work,
    stop: &Stop,
    messages: &Sender<Message>,
) {
    let Work { trial, ref tokens, ref setting, ref graph } = *work;
    let job = Job { trial, tokens, setting: setting.as_ref(), graph: graph.as_ref() };
    // Nobody listens any more once the search has ended by an error.
    let tell = |message| drop(messages.send(message));
    let report = |epoch: &Epoch| tell(Message::Epoch { trial, epoch: *epoch });
    let started = Instant::now();
    let outcome = match panics::catch(|| evaluator.evaluate(&job, stop, &report)) {
        Ok(Outcome::Done(measured)) if !measured.reward.is_finite() => {
            Outcome::Failed(Failure::Nan, format!("the reward is {}", measured.reward))
        }
        Ok(outcome) => outcome,
        Err(panic) => Outcome::Failed(Failure::Panicked, panic),
    };
    tell(Message::Finished { trial, outcome, seconds: started.elapsed().as_secs_f64() });
}
