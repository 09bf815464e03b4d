//! Why the emulator could not be installed.

use std::path::PathBuf;

/// Failures of [`crate::install`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not x86-64 Linux.
    #[error("the CUDA emulator exists for x86-64 Linux only")]
    Unsupported,
    /// A second install asked for another machine.
    #[error(
        "the emulator is already installed with other options; tests that need others belong in \
         a test binary of their own"
    )]
    OtherOptions,
    /// An option has a value that no machine could have.
    #[error("option `{name}` is {value}: {expected}")]
    Option {
        /// The field of [`crate::Options`].
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A library of that name is loaded already, so that ours would never be found.
    #[error(
        "{library} is already loaded in this process; install the emulator before the first CUDA \
         call"
    )]
    AlreadyLoaded {
        /// The name under which it was found.
        library: &'static str,
    },
    /// A file of the emulator's cache could not be written or read.
    #[error("{path}: {source}; set NASRL_EMULATOR_CACHE to a directory that can be written")]
    Cache {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The C++ compiler is missing.
    #[error("g++ cannot be run ({source}); the emulator compiles kernels with it, install it")]
    NoCompiler {
        /// What the system said.
        source: std::io::Error,
    },
    /// The C++ compiler refused a file of the emulator.
    #[error("g++ failed on {path}:\n{log}")]
    Compiler {
        /// The file.
        path: PathBuf,
        /// What the compiler wrote.
        log: String,
    },
    /// The dynamic loader refused a shared object of the emulator.
    #[error("{path}: the dynamic loader says: {message}")]
    Loader {
        /// The shared object.
        path: PathBuf,
        /// What the loader said.
        message: String,
    },
    /// An operating system thread could not be started.
    #[error("cannot start a thread of the emulator: {0}")]
    Thread(String),
}
