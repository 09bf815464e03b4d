use nasrl_tensor::{Cpu, Cuda, DType, Memory};
use nasrl_tests::{FLOATS, Tolerance};
use serde::Serialize;

use super::{Block, Check, CheckError};
use crate::case::{Agreement, Case, Setting, Shapes, Values};
use crate::operations::{Operation, operations};

/// How many cases agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdicts {
    /// Cases whose results agree.
    pub agree: usize,
    /// Cases whose results do not, or that failed.
    pub differ: usize,
    /// Cases that there was no time for.
    pub skipped: usize,
}

#[derive(Serialize)]
struct Verdict<'a> {
    operation: &'static str,
    pass: &'a str,
    shape: &'a str,
    dtype: String,
    values: &'static str,
    /// Absolute and relative part of how far the results may be apart; 0 if not at all.
    tolerance: [f64; 2],
    agree: bool,
    /// The largest difference as a multiple of what is allowed; of what must be the same, in
    /// itself.
    worst: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Compares every operation on the GPU with the processor: to the bit on small integers where no
/// order of sums matters, and within named tolerances on random values.
///
/// # Errors
/// [`CheckError::Report`]; what else fails is a line.
pub fn parity(check: &mut Check<'_>) -> Result<Verdicts, CheckError> {
    let mut verdicts = Verdicts::default();
    for (on_cpu, on_gpu) in operations::<Cpu>().into_iter().zip(operations::<Cuda>()) {
        for dtype in FLOATS {
            for values in [Values::Integers, Values::Uniform] {
                compare(check, (&on_cpu, &on_gpu), (dtype, values), &mut verdicts)?;
            }
        }
    }
    check.report.line(Block::Parity, &verdicts)?;
    Ok(verdicts)
}

fn compare(
    check: &mut Check<'_>,
    (on_cpu, on_gpu): (&Operation<Cpu>, &Operation<Cuda>),
    (dtype, values): (DType, Values),
    verdicts: &mut Verdicts,
) -> Result<(), CheckError> {
    let cpu = Cpu::new();
    let (shapes, cuda) = (Shapes::Small, check.cuda);
    let references = (on_cpu.cases)(&Setting { on: &cpu, dtype, shapes, values })?;
    let cases = (on_gpu.cases)(&Setting { on: cuda, dtype, shapes, values })?;
    for (mut reference, mut case) in references.into_iter().zip(cases) {
        let told_apart = matches!(case.agreement, Agreement::Close(_));
        if values == Values::Integers && told_apart {
            continue;
        }
        if check.budget.is_over() {
            verdicts.skipped += 1;
            continue;
        }
        let tolerance = case.agreement.tolerance(values);
        let none = Tolerance { absolute: 0.0, relative: 0.0 };
        let Tolerance { absolute, relative } = tolerance.unwrap_or(none);
        let worst = worst((&cpu, &mut reference), (cuda, &mut case), tolerance);
        let (worst, problem) = match worst {
            Ok(worst) => (worst, None),
            Err(error) => (f64::INFINITY, Some(error.to_string())),
        };
        let agree = worst <= if tolerance.is_some() { 1.0 } else { 0.0 };
        match agree {
            true => verdicts.agree += 1,
            false => verdicts.differ += 1,
        }
        let verdict = Verdict {
            operation: on_gpu.name,
            pass: &case.pass,
            shape: &case.shape,
            dtype: dtype.to_string(),
            values: match values {
                Values::Integers => "integers",
                Values::Uniform => "uniform",
            },
            tolerance: [absolute, relative],
            agree,
            // JSON has no infinity.
            worst: worst.min(f64::MAX),
            problem,
        };
        check.report.line(Block::Parity, &verdict)?;
    }
    Ok(())
}

/// The largest difference of the results of one call, as a multiple of what is allowed; infinite
/// where one of the two is no number.
fn worst<A: Memory, B: Memory>(
    (cpu, reference): (&A, &mut Case<A>),
    (cuda, case): (&B, &mut Case<B>),
    tolerance: Option<Tolerance>,
) -> nasrl_tensor::Result<f64> {
    reference.run(cpu)?;
    case.run(cuda)?;
    let (expected, found) = (reference.results(cpu)?, case.results(cuda)?);
    let pairs = found.iter().flatten().zip(expected.iter().flatten());
    Ok(pairs.map(|(&found, &expected)| apart(found, expected, tolerance)).fold(0.0, f64::max))
}

/// How far apart two results are, as a multiple of what is allowed; what must be the same, in itself.
pub(super) fn apart(found: f64, expected: f64, tolerance: Option<Tolerance>) -> f64 {
    let difference = (found - expected).abs();
    match tolerance {
        _ if found == expected || (found.is_nan() && expected.is_nan()) => 0.0,
        _ if difference.is_nan() => f64::INFINITY,
        None => difference,
        Some(allowed) => difference / (allowed.absolute + allowed.relative * expected.abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_multiples_of_what_is_allowed() {
        let allowed = Some(Tolerance { absolute: 0.5, relative: 0.25 });
        assert_eq!(apart(10.0, 2.0, allowed), 8.0);
        assert_eq!(apart(10.0, 2.0, None), 8.0);
        assert_eq!(apart(2.0, 2.0, None), 0.0);
        for (found, expected) in [(f64::NAN, 1.0), (1.0, f64::NAN)] {
            assert_eq!(apart(found, expected, allowed), f64::INFINITY);
            assert_eq!(apart(found, expected, None), f64::INFINITY);
        }
        assert_eq!(apart(f64::INFINITY, 1.0, allowed), f64::INFINITY);
    }

    #[test]
    fn one_wrong_element_is_found() {
        let cpu = Cpu::serial();
        let setting =
            |values| Setting { on: &cpu, dtype: DType::F32, shapes: Shapes::Small, values };
        let case = |values| {
            let matmul = operations::<Cpu>().into_iter().find(|one| one.name == "matmul").unwrap();
            (matmul.cases)(&setting(values)).unwrap().pop().unwrap()
        };
        let (mut left, mut right) = (case(Values::Integers), case(Values::Integers));
        assert_eq!(worst((&cpu, &mut left), (&cpu, &mut right), None).unwrap(), 0.0);
        let mut run = std::mem::replace(&mut right.call, Box::new(|_, _, _| Ok(())));
        right.call = Box::new(move |on: &Cpu, x, y| {
            run(on, x, y)?;
            let mut first = [0.0f32];
            on.read(&y[0], &mut first)?;
            on.write(&[first[0] + 1.0], &mut y[0])
        });
        assert_eq!(worst((&cpu, &mut left), (&cpu, &mut right), None).unwrap(), 1.0);
    }
}
