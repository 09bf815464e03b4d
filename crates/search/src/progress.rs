//! How far a search has come, while it goes on.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use nasrl_search::clock::Span;
use nasrl_search::scheduler::{Listener, ListenerError};
use nasrl_search::strategy::{Metrics, Strategy};
use nasrl_search::{Status, Trial};

use crate::output::remark;

/// A bar on a terminal, else a line now and then; on standard error, so that results can be piped.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    printed: Option<Instant>,
    total: u64,
    finished: u64,
    /// Those of `finished` that took time in this process.
    evaluated: u64,
    best: Option<(f64, u64)>,
    metrics: Metrics,
}

/// How long at least between two lines.
const PAUSE: Duration = Duration::from_secs(1);

impl Progress {
    /// Nothing of so many trials is done.
    pub(crate) fn new(total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{wide_bar}\n{msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style)
        });
        Progress {
            bar,
            started: Instant::now(),
            printed: None,
            total,
            finished: 0,
            evaluated: 0,
            best: None,
            metrics: Metrics::default(),
        }
    }

    /// Prints what was not printed yet, and makes room for what comes after.
    pub(crate) fn finish(&mut self) {
        match &self.bar {
            Some(bar) => bar.finish_and_clear(),
            None => remark!("{}", self.line()),
        }
    }

    fn count(&mut self, trial: &Trial) {
        self.finished += 1;
        let reward = trial.reward;
        if trial.status == Status::Done && self.best.is_none_or(|(best, _)| reward > best) {
            self.best = Some((reward, trial.proposed.trial));
        }
    }

    fn line(&self) -> String {
        let Metrics { baseline, mean_reward, entropy, restarts } = self.metrics;
        let mut parts = vec![format!("{}/{} trials", self.finished, self.total)];
        if let Some(left) = self.time_left() {
            parts.push(format!("{} left", Span::from(left)));
        }
        if let Some((reward, trial)) = self.best {
            parts.push(format!("best {reward:.4} (trial {trial})"));
        }
        let numbers = [("mean reward", mean_reward), ("baseline", baseline), ("entropy", entropy)];
        for (name, number) in numbers {
            parts.extend(number.map(|number| format!("{name} {number:.3}")));
        }
        if restarts > 0 {
            parts.push(format!("{restarts} restarts"));
        }
        parts.join(", ")
    }

    /// At the pace of this process so far; `None` before the first trial and after the last.
    fn time_left(&self) -> Option<Duration> {
        let left = self.total.saturating_sub(self.finished);
        let each = self.started.elapsed().as_secs_f64() / self.evaluated as f64;
        (self.evaluated > 0 && left > 0).then(|| Duration::from_secs_f64(each * left as f64))
    }
}

impl Listener for Progress {
    fn finished(&mut self, trial: &Trial, _: Option<&[u8]>) -> Result<(), ListenerError> {
        self.count(trial);
        self.evaluated += 1;
        if self.bar.is_none() && self.printed.is_none_or(|printed| printed.elapsed() >= PAUSE) {
            remark!("{}", self.line());
            self.printed = Some(Instant::now());
        }
        Ok(())
    }

    fn recalled(&mut self, trial: &Trial) {
        self.count(trial);
    }

    fn learned(&mut self, strategy: &dyn Strategy) -> Result<(), ListenerError> {
        self.metrics = strategy.metrics();
        Ok(())
    }

    fn tick(&mut self) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.finished);
            bar.set_message(self.line());
            bar.tick();
        }
    }
}
