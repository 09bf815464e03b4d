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
    #[error("{device}: out of memory, {asked} bytes asked for; use a smaller batch or fewer jobs")]
    OutOfMemory {
        /// The device.
        device: String,
        /// Bytes asked for.
        asked: usize,
    },
    /// An instruction set that this processor does not have.
    #[error("the processor has no {isa}; it has {available}")]
    UnsupportedIsa {
        /// The instruction set asked for.
        isa: &'static str,
        /// Those that are there.
        available: String,
    },
}
