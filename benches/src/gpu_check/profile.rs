use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, io, thread};

use nasrl_tensor::{Cuda, Memory};
use serde::Serialize;

use super::{Block, Budget, Check, CheckError, OperationSizes, Sizes, Verdict};
use crate::case::{Setting, Values};
use crate::operations::{case_name, operations};

/// What [`profile`] runs.
#[derive(Clone, Debug)]
pub struct ProfileSizes {
    /// Nsight Compute: `ncu` or a path to it.
    pub profiler: PathBuf,
    /// What is looked at.
    pub kernels: Vec<Profiled>,
}

/// A kernel for the profiler.
#[derive(Clone, Debug)]
pub struct Profiled {
    /// The words that [`once`] takes.
    pub case: String,
    /// The kernel's name as `ncu --kernel-name` takes it.
    pub kernel: String,
}

#[derive(Serialize)]
struct Counted<'a> {
    case: &'a str,
    kernel: String,
    /// Every counter of a hardware unit, with its unit of measurement after a space.
    counters: BTreeMap<String, f64>,
}

#[derive(Serialize)]
struct Unprofiled<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    case: Option<&'a str>,
    problem: String,
}

/// Runs each operation whose name has these words twice: once to compile and load its kernels, once to
/// be looked at.
///
/// Returns [`Verdict::Bad`] if there is none.
///
/// # Errors
/// [`CheckError::Device`].
pub fn once(cuda: &Cuda, sizes: &Sizes, words: &str) -> Result<Verdict, CheckError> {
    let mut verdict = Verdict::Bad;
    let OperationSizes { shapes, dtypes } = &sizes.operations;
    for operation in operations::<Cuda>().iter().filter(|it| words.starts_with(it.name)) {
        for &dtype in dtypes {
            let setting = Setting { on: cuda, dtype, shapes: *shapes, values: Values::Uniform };
            for mut case in (operation.cases)(&setting)? {
                if case_name(operation.name, &case, dtype).contains(words) {
                    verdict = Verdict::Good;
                    case.run(cuda)?;
                    case.run(cuda)?;
                    cuda.synchronize()?;
                }
            }
        }
    }
    Ok(verdict)
}

/// What the hardware counted in kernels, by Nsight Compute: which unit bound them, what warps waited
/// for. Where the profiler is missing, or may not read the counters, a line says so.
///
/// # Errors
/// [`CheckError::Report`].
pub fn profile(check: &mut Check<'_>) -> Result<(), CheckError> {
    let ProfileSizes { profiler, kernels } = check.sizes.profile.clone();
    for Profiled { case, kernel } in &kernels {
        if check.budget.is_over() {
            return Ok(());
        }
        let mut command = Command::new(&profiler);
        command.args(["--csv", "--page", "raw", "--launch-skip", "1", "--launch-count", "1"]);
        command.args(SECTIONS.iter().flat_map(|section| ["--section", section]));
        // As fast as everything else here ran; whoever else uses the GPU keeps its clocks.
        command.args(["--clock-control", "none", "--kernel-name", kernel]);
        let output = env::current_exe().and_then(|program| {
            command.arg(program).args(["--device", &check.ordinal.to_string(), "--once", case]);
            run(command, check.budget)
        });
        let output = match output {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                let problem = "there is no ncu, which is a part of NVIDIA's toolkit".to_owned();
                return check.report.line(Block::Profile, &Unprofiled { case: None, problem });
            }
            output => output.map_err(|error| error.to_string()),
        };
        match output.and_then(|text| counters(&text)) {
            Ok((kernel, counters)) => {
                check.report.line(Block::Profile, &Counted { case, kernel, counters })?;
            }
            Err(problem) => {
                check.report.line(Block::Profile, &Unprofiled { case: Some(case), problem })?;
            }
        }
    }
    Ok(())
}

/// What the profiler counts: the units' load, caches and conflicts, what warps wait for.
const SECTIONS: [&str; 6] = [
    "SpeedOfLight",
    "ComputeWorkloadAnalysis",
    "MemoryWorkloadAnalysis",
    "WarpStateStats",
    "LaunchStats",
    "Occupancy",
];

/// What a command writes; it is ended when the time is over.
fn run(mut command: Command, budget: Budget) -> io::Result<String> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut output = child.stdout.take();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        output.as_mut().map_or(Ok(0), |output| output.read_to_string(&mut text)).map(|_| text)
    });
    while child.try_wait()?.is_none() {
        if budget.is_over() {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "ncu took longer than there was time",
            ));
        }
        thread::sleep(Duration::from_millis(20));
    }
    reader.join().unwrap_or_else(|_| Err(io::Error::other("what ncu wrote was not read")))
}

/// The kernel and its counters in what `ncu --csv --page raw` writes: a line of names, one of units,
/// one of values. Nothing else of it is kept: it names the machine.
fn counters(text: &str) -> Result<(String, BTreeMap<String, f64>), String> {
    let rows: Vec<Vec<String>> =
        text.lines().filter(|line| line.starts_with('"')).map(fields).collect();
    let [names, units, values, ..] = &rows[..] else {
        let errors = text.lines().filter(|line| line.starts_with("==ERROR=="));
        let said = errors.map(|line| line.trim_start_matches("==ERROR==").trim());
        return Err(format!("ncu counted nothing: {}", said.collect::<Vec<_>>().join("; ")));
    };
    let mut counters = BTreeMap::new();
    let mut kernel = String::new();
    for ((name, unit), value) in names.iter().zip(units).zip(values) {
        if name == "Kernel Name" {
            kernel.clone_from(value);
        }
        let number = value.replace(',', "").parse::<f64>().ok().filter(|number| number.is_finite());
        if let (true, Some(number)) = (name.contains("__"), number) {
            counters.insert(format!("{name} {unit}").trim_end().to_owned(), number);
        }
    }
    Ok((kernel, counters))
}

/// The fields of a line, all of which are in quotes.
fn fields(line: &str) -> Vec<String> {
    let line = line.trim();
    let inside = line.strip_prefix('"').and_then(|line| line.strip_suffix('"')).unwrap_or(line);
    inside.split("\",\"").map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = r#"==PROF== Connected to process 7
"ID","Process Name","Host Name","Kernel Name","gpu__time_duration.sum","l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum","sm__maximum_warps"
"","","","","us","","warp"
"0","gpu-check","a host","conv2d_gather_8_bf16","6.91","1,024","n/a"
"#;

    #[test]
    fn counters_are_those_of_the_hardware() {
        let (kernel, counters) = counters(WRITTEN).unwrap();
        assert_eq!(kernel, "conv2d_gather_8_bf16");
        let expected = [
            ("gpu__time_duration.sum us", 6.91),
            ("l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum", 1024.0),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(counters, BTreeMap::from(expected));
    }

    #[test]
    fn what_the_profiler_may_not_read_is_said() {
        let error = counters("==ERROR== ERR_NVGPUCTRPERM\n").unwrap_err();
        assert_eq!(error, "ncu counted nothing: ERR_NVGPUCTRPERM");
    }
}
