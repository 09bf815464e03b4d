use std::io;
use std::path::PathBuf;

use nasrl_child::TrainError;
use nasrl_child::data::DataError;

/// Why a check could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// There is no GPU that can be used.
    #[error(transparent)]
    NoGpu(nasrl_tensor::Error),
    /// The GPU cannot do something, or failed.
    #[error(transparent)]
    Device(#[from] nasrl_tensor::Error),
    /// What the driver says to launches that do nothing.
    #[error("launches: {0}")]
    Driver(#[from] cudarc::driver::DriverError),
    /// A capture that ended without a graph.
    #[error("launches: the driver made no graph of what was captured")]
    NoGraph,
    /// A kernel whose speed is of no interest, because its result is wrong.
    #[error("{kernel} gives {found:#x} and should give {expected:#x}")]
    WrongLoop {
        /// The kernel.
        kernel: &'static str,
        /// The bits of its first result.
        found: u32,
        /// What they should be.
        expected: u32,
    },
    /// A child could not be trained.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Random images that make no dataset.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A child that is none of the space.
    #[error("child {child}: {source}")]
    Child {
        /// As it was written.
        child: String,
        /// What is wrong with it.
        source: nasrl_space::SpaceError,
    },
    /// A file of results that cannot be written.
    #[error("{}: {source}; name a folder that can be written to with --out", path.display())]
    Report {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A search that did not come to its end.
    #[error("the search: {0}")]
    Search(Box<dyn std::error::Error + Send + Sync>),
    /// A thread of a child that could not be started, or did not come to its end.
    #[error("no thread for one of {children} children: {reason}")]
    Thread {
        /// Children side by side.
        children: usize,
        /// What the system says.
        reason: String,
    },
}
