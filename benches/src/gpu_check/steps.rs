use serde::Serialize;

use super::children::{ChildSizes, Training, word};
use super::predictions::Compared;
use super::{Block, Check, CheckError, Predictions, Timing};

#[derive(Serialize)]
struct Step<'a> {
    child: &'a str,
    precision: &'static str,
    batch: usize,
    timing: Timing,
    images_per_s: f64,
    bytes: usize,
    #[serde(flatten)]
    prediction: Option<Compared>,
}

#[derive(Serialize)]
struct Failed<'a> {
    child: &'a str,
    precision: &'static str,
    batch: usize,
    problem: String,
}

/// Times whole training steps of children on random images, from the images' bytes to the
/// optimizer, in passes as training makes them.
///
/// Returns how many failed.
///
/// # Errors
/// [`CheckError::Report`]; what else fails is a line.
pub fn steps(check: &mut Check<'_>) -> Result<usize, CheckError> {
    let mut failures = 0;
    let predictions = Predictions::committed();
    let ChildSizes { children, image, batches, precisions, pass } = check.sizes.steps.clone();
    for &batch in &batches {
        for &precision in &precisions {
            for child in &children {
                if check.budget.is_over() {
                    return Ok(failures);
                }
                let cuda = check.cuda;
                let timed =
                    Training::new(cuda, child, (image, batch), precision).and_then(|mut it| {
                        let whole = check.time(|| it.steps(pass))?;
                        let timing = whole.divided(pass);
                        Ok((timing, it.bytes()))
                    });
                let precision = word(precision);
                match timed {
                    Ok((timing, bytes)) => {
                        let images_per_s = batch as f64 / (timing.median_us * 1e-6);
                        let name = format!("step {child} {batch} {precision}");
                        let prediction = predictions.compare(&name, timing.median_us);
                        let step = Step {
                            child,
                            precision,
                            batch,
                            timing,
                            images_per_s,
                            bytes,
                            prediction,
                        };
                        check.report.line(Block::Steps, &step)?;
                    }
                    Err(error) => {
                        failures += 1;
                        let problem = error.to_string();
                        let failed = Failed { child, precision, batch, problem };
                        check.report.line(Block::Steps, &failed)?;
                    }
                }
            }
        }
    }
    Ok(failures)
}
