use std::fmt;

use crate::{DType, Shape};

/// The result of everything that can fail in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a tensor operation. `op` is the function's name in [`crate::ops`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two operands whose shapes do not go together.
    #[error("{op}: shapes {left} and {right} do not match: {rule}")]
    ShapeMismatch {
        /// The operation.
        op: &'static str,
        /// The first operand's shape.
        left: Shape,
        /// The second operand's shape.
        right: Shape,
        /// What would have matched.
        rule: &'static str,
    },
    /// One operand whose shape the operation cannot take.
    #[error("{op}: shape {shape} does not fit: {rule}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The operand's shape.
        shape: Shape,
        /// What is accepted.
        rule: &'static str,
    },
    /// An operand of a type that the operation does not take.
    #[error(
        "{op}: dtype {found} does not fit: {expected} is expected; convert it with Tensor::cast"
    )]
    DType {
        /// The operation.
        op: &'static str,
        /// The operand's dtype.
        found: DType,
        /// What is accepted.
        expected: &'static str,
    },
    /// A parameter of the operation outside its range.
    #[error("{op}: {name} is {value}, but must be {rule}")]
    Parameter {
        /// The operation.
        op: &'static str,
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// Its range.
        rule: &'static str,
    },
    /// An index, such as a label, that points at nothing.
    #[error("{op}: {name} {position} is {found}, but must be below {bound}")]
    Index {
        /// The operation.
        op: &'static str,
        /// What the index is: `label` or `index`.
        name: &'static str,
        /// Its place in the operand.
        position: usize,
        /// Its value.
        found: u32,
        /// How many there are to point at.
        bound: usize,
    },
    /// A slice whose length is not the number of elements.
    #[error("{op}: a slice of {found} elements for shape {shape}, which has {}", shape.count())]
    Length {
        /// The operation.
        op: &'static str,
        /// The slice's length.
        found: usize,
        /// The tensor's shape.
        shape: Shape,
    },
    /// The device could not provide the memory.
    #[error(
        "{device}: out of memory, {asked} bytes asked for{}; use a smaller batch or fewer jobs",
        memory.as_ref().map(|memory| format!(" while {memory}")).unwrap_or_default()
    )]
    OutOfMemory {
        /// The device.
        device: String,
        /// Bytes asked for.
        asked: usize,
        /// What the device had left, if it says.
        memory: Option<MemoryState>,
    },
    /// An instruction set that this processor does not have.
    #[error("the processor has no {isa}; it has {available}")]
    UnsupportedIsa {
        /// The instruction set asked for.
        isa: &'static str,
        /// Those that are there.
        available: String,
    },
    /// No library of the CUDA driver could be loaded.
    #[error(
        "no CUDA driver, neither {} nor any other of its {} names can be loaded; install NVIDIA's \
         driver or use the CPU",
        tried.first().map_or("", String::as_str),
        tried.len()
    )]
    NoDriver {
        /// The names that were tried.
        tried: Vec<String>,
    },
    /// A CUDA driver that is older than the interface this crate is built for.
    #[error(
        "the CUDA driver is for CUDA {found}, but CUDA {needed} is needed; update NVIDIA's driver"
    )]
    DriverTooOld {
        /// What the driver says of itself.
        found: CudaVersion,
        /// The oldest that will do.
        needed: CudaVersion,
    },
    /// A GPU that is not there.
    #[error("no device cuda:{ordinal}, the driver shows {count}")]
    NoDevice {
        /// The device asked for, from 0.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// A GPU without something that the backend builds on.
    #[error("{device} has no {feature}")]
    UnsupportedDevice {
        /// The device.
        device: String,
        /// What it lacks.
        feature: &'static str,
    },
    /// No library of NVRTC, the compiler of kernels, could be loaded.
    #[error(
        "no NVRTC, which compiles the kernels: {}; install it by `pip install nvidia-cuda-nvrtc` into \
         the python3 on PATH, or name a library in NASRL_NVRTC",
        tried.join("; ")
    )]
    NoNvrtc {
        /// What was tried, and why it was not to be had.
        tried: Vec<String>,
    },
    /// A kernel source that does not compile.
    #[error("{source_name} does not compile for {architecture}:\n{log}")]
    Compile {
        /// The source's file name.
        source_name: String,
        /// What it was compiled for, such as `sm_90a`.
        architecture: String,
        /// What the compiler says.
        log: String,
    },
    /// A compiled kernel that is not what its launcher takes it for.
    #[error("kernel {kernel} of {source_name}: {problem}")]
    Kernel {
        /// The kernel's name.
        kernel: String,
        /// The source's file name.
        source_name: String,
        /// The difference.
        problem: String,
    },
    /// A buffer of another device or stream.
    #[error("a tensor on {found} was given to {expected}; move it with Tensor::to")]
    OtherDevice {
        /// Where the buffer is.
        found: String,
        /// Where the operation ran.
        expected: String,
    },
    /// Something that is done once and cannot be part of a recording.
    #[error("{what} cannot be recorded; do the work once before it is recorded")]
    NotRecordable {
        /// What it is.
        what: &'static str,
    },
    /// A buffer of memory that several streams read was to be written.
    #[error("{device}: memory that several streams read is to be written; write a copy of it")]
    ReadOnly {
        /// The device.
        device: String,
    },
    /// A call of the CUDA driver that failed, or work before it that did.
    #[error("{during}: {code}: {text}")]
    Cuda {
        /// The call, and the kernel if it is a launch.
        during: String,
        /// The error's name, such as `CUDA_ERROR_ILLEGAL_ADDRESS`.
        code: String,
        /// What the driver says about it.
        text: String,
    },
}

/// The memory of a device, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryState {
    /// What the device has.
    pub total: usize,
    /// What no process holds.
    pub free: usize,
    /// What this process's pool holds.
    pub pool: usize,
    /// The part of the pool that buffers use.
    pub pool_used: usize,
}

impl fmt::Display for MemoryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MemoryState { total, free, pool, pool_used } = self;
        write!(f, "{free} of {total} are free and the pool holds {pool}, {pool_used} in use")
    }
}

/// A version of CUDA as drivers and compilers count: 1000 times the major plus 10 times the minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CudaVersion(pub i32);

impl fmt::Display for CudaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 1000, self.0 % 1000 / 10)
    }
}
