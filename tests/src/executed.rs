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
