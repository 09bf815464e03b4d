use nasrl_tensor::{Cuda, DType};
use serde::Serialize;

use super::predictions::Compared;
use super::{Block, Ceilings, Check, CheckError, Predictions, Timing};
use crate::case::{Case, Setting, Shapes, Values};
use crate::operations::{Operation, case_name, operations as all};

/// What [`operations`] measures.
#[derive(Clone, Debug)]
pub struct OperationSizes {
    /// Which shapes.
    pub shapes: Shapes,
    /// Types of activations.
    pub dtypes: Vec<DType>,
}

#[derive(Serialize)]
struct Speed<'a> {
    operation: &'static str,
    pass: &'a str,
    shape: &'a str,
    dtype: String,
    timing: Timing,
    /// The median of what it takes in a graph, without the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    graph_us: Option<f64>,
    gb_per_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    gflop_per_s: Option<f64>,
    /// What the time is at the measured ceilings.
    #[serde(skip_serializing_if = "Option::is_none")]
    ceiling_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percent_of_ceiling: Option<f64>,
    #[serde(flatten)]
    prediction: Option<Compared>,
}

#[derive(Serialize)]
struct Failed<'a> {
    operation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a str>,
    dtype: String,
    problem: String,
}

/// Times every operation at the shapes of real children and controllers, with operands that stay
/// where the last call left them: in the second-level cache, if they fit. Beside each stands what it
/// was predicted to take on an H100, if it was.
///
/// Returns how many cases failed.
///
/// # Errors
/// [`CheckError::Report`]; what else fails is a line.
pub fn operations(check: &mut Check<'_>, ceilings: &Ceilings) -> Result<usize, CheckError> {
    let mut failures = 0;
    let known = Known { ceilings, predictions: Predictions::committed() };
    let OperationSizes { shapes, dtypes } = check.sizes.operations.clone();
    for operation in all::<Cuda>() {
        for &dtype in &dtypes {
            if check.budget.is_over() {
                return Ok(failures);
            }
            let setting = Setting { on: check.cuda, dtype, shapes, values: Values::Uniform };
            match (operation.cases)(&setting) {
                Ok(cases) => {
                    for case in cases {
                        failures += time(check, &known, (&operation, dtype), case)?;
                    }
                }
                Err(error) => failures += failed(check, (&operation, dtype), None, &error)?,
            }
        }
    }
    Ok(failures)
}

/// What a time is compared with.
struct Known<'a> {
    ceilings: &'a Ceilings,
    predictions: Predictions,
}

/// Times a case and returns how many failed, 0 or 1.
fn time(
    check: &mut Check<'_>,
    known: &Known<'_>,
    (operation, dtype): (&Operation<Cuda>, DType),
    mut case: Case<Cuda>,
) -> Result<usize, CheckError> {
    let cuda = check.cuda;
    let timed = check.time(|| case.run(cuda)).and_then(|timing| {
        Ok((timing, check.time_recorded(check.sizes.sampling, || case.run(cuda))?))
    });
    let (timing, in_graph) = match timed {
        Ok(timed) => timed,
        Err(error) => return failed(check, (operation, dtype), Some(&case.pass), &error),
    };
    let work = case.work;
    let ceiling_us = known.ceilings.floor_us(dtype, work);
    let name = case_name(operation.name, &case, dtype);
    let speed = Speed {
        operation: operation.name,
        pass: &case.pass,
        shape: &case.shape,
        dtype: dtype.to_string(),
        timing,
        graph_us: in_graph.map(|timing| timing.median_us),
        gb_per_s: timing.giga_per_second(work.bytes),
        gflop_per_s: (work.flops > 0).then(|| timing.giga_per_second(work.flops)),
        ceiling_us,
        percent_of_ceiling: ceiling_us.map(|floor| 100.0 * floor / timing.median_us),
        prediction: known.predictions.compare(&name, timing.median_us),
    };
    check.report.line(Block::Operations, &speed)?;
    Ok(0)
}

fn failed(
    check: &mut Check<'_>,
    (operation, dtype): (&Operation<Cuda>, DType),
    pass: Option<&str>,
    error: &nasrl_tensor::Error,
) -> Result<usize, CheckError> {
    let (operation, dtype, problem) = (operation.name, dtype.to_string(), error.to_string());
    check.report.line(Block::Operations, &Failed { operation, pass, dtype, problem })?;
    Ok(1)
}
