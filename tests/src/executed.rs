use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use nasrl_cuda_emulator::{Emulator, Error, FileCoverage, Kernel, Options, install};

/// The file to which a process writes what it has executed when it ends.
const FILE: &str = "NASRL_EXECUTED";

/// What the emulator executed in a whole process.
#[derive(Debug, Default)]
pub struct Executed {
    /// Every kernel that was compiled.
    pub kernels: Vec<Kernel>,
    /// The lines of every source and header.
    pub files: Vec<FileCoverage>,
}

impl Executed {
    /// Runs the tests of this program but those whose names contain `skipped`, in a process of their
    /// own, and gives what they executed on the emulated GPU of [`crate::emulated_as`].
    ///
    /// # Panics
    /// If one of the tests fails.
    pub fn by_all_tests_but(skipped: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("executed");
        let mut tests = Command::new(env::current_exe().expect("the program that runs"));
        let output = tests.args(["--skip", skipped]).env(FILE, &file).output().expect("its tests");
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(output.status.success(), "{}\n{}", said[0], said[1]);
        Self::read(&file)
    }

    fn read(file: &Path) -> Self {
        let mut executed = Executed::default();
        for record in fs::read_to_string(file).expect("what was executed").lines() {
            let fields: Vec<&str> = record.split('\t').collect();
            let number = |field: &str| field.parse::<u64>().expect("a count");
            match fields[..] {
                ["kernel", module, kernel, count] => executed.kernels.push(Kernel {
                    module: module.into(),
                    kernel: kernel.into(),
                    executed: number(count),
                }),
                ["file", name] => executed
                    .files
                    .push(FileCoverage { file: name.into(), lines: Default::default() }),
                [line, count] => {
                    let file = executed.files.last_mut().expect("lines follow their file");
                    file.lines.insert(number(line) as u32, number(count));
                }
                _ => panic!("{record:?} is no record"),
            }
        }
        executed
    }
}

/// Makes this process fail at its end if a kernel of these sources was never executed on the
/// emulated GPU of [`crate::emulated_as`], unless only some of the tests were asked for. No test can
/// tell that all others are over, and running them once more would take as long again.
///
/// # Panics
/// As [`crate::emulated_as`].
pub fn require_every_kernel(options: &Options, sources: impl IntoIterator<Item = &'static str>) {
    let emulator = install(options).expect("the emulator that the tests use");
    if REQUIRED.set((emulator, sources.into_iter().collect())).is_ok() {
        // SAFETY: the function takes nothing and may be called in any process.
        assert_eq!(unsafe { libc::atexit(compare) }, 0, "there is room for a function");
    }
}

static REQUIRED: OnceLock<(&Emulator, Vec<&str>)> = OnceLock::new();

#[expect(clippy::print_stderr, reason = "whoever reads the tests' output should know")]
extern "C" fn compare() {
    let some = |argument: String| !argument.starts_with('-') || argument.starts_with("--skip");
    let Some((emulator, sources)) = REQUIRED.get() else { return };
    let idle = idle(sources, &emulator.kernels());
    if !idle.is_empty() && !env::args().skip(1).any(some) {
        eprintln!("kernels that no test executed: {idle:?}");
        // SAFETY: nothing that this process has to do is left.
        unsafe { libc::_exit(1) }
    }
}

/// Kernels that were not executed, and sources of which none was compiled.
fn idle(sources: &[&str], kernels: &[Kernel]) -> Vec<String> {
    let used = |source: &str| kernels.iter().any(|kernel| kernel.module == source);
    let unused = sources.iter().filter(|source| !used(source));
    let idle = kernels.iter().filter(|kernel| kernel.executed == 0);
    let named = idle.map(|kernel| format!("{} of {}", kernel.kernel, kernel.module));
    unused.map(|source| (*source).to_owned()).chain(named).collect()
}

/// The emulator: that of the options or, in the process of [`Executed::by_all_tests_but`], one that
/// counts lines, executes a launch once, and tells when the process ends.
pub(crate) fn install_or_count(options: &Options) -> Result<&'static Emulator, Error> {
    if env::var_os(FILE).is_none() {
        return install(options);
    }
    let emulator = install(&Options { coverage: true, repeats: 0, ..options.clone() })?;
    if COUNTING.set(emulator).is_ok() {
        // SAFETY: the function takes nothing and may be called in any process.
        assert_eq!(unsafe { libc::atexit(tell) }, 0, "there is room for a function");
    }
    Ok(emulator)
}

static COUNTING: OnceLock<&Emulator> = OnceLock::new();

/// Writes what was executed; a panic here ends the process with a signal.
extern "C" fn tell() {
    let (Some(emulator), Some(file)) = (COUNTING.get(), env::var_os(FILE)) else { return };
    let mut records = String::new();
    for Kernel { module, kernel, executed } in emulator.kernels() {
        records += &format!("kernel\t{module}\t{kernel}\t{executed}\n");
    }
    for FileCoverage { file, lines } in emulator.coverage().expect("gcov runs") {
        records += &format!("file\t{file}\n");
        lines.iter().for_each(|(line, count)| records += &format!("{line}\t{count}\n"));
    }
    fs::write(file, records).expect("the file of what was executed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_were_not_executed_are_found() {
        let kernel = |module: &str, kernel: &str, executed| Kernel {
            module: module.into(),
            kernel: kernel.into(),
            executed,
        };
        let kernels = [kernel("a.cu", "one", 3), kernel("a.cu", "two", 0)];
        assert_eq!(idle(&["a.cu"], &kernels[..1]), [""; 0]);
        assert_eq!(idle(&["a.cu", "b.cu"], &kernels), ["b.cu", "two of a.cu"]);
    }
}
