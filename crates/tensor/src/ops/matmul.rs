use super::{Sum, check};
use crate::{DType, Error, Memory, Result, Tensor};

/// The geometry of a matrix product `c[m, n] = op(a)[m, k] op(b)[k, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Matmul {
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Terms of each sum.
    pub k: usize,
    /// How `a` lies in memory: `[m, k]`, or `[k, m]` if transposed.
    pub a: Operand,
    /// How `b` lies in memory: `[k, n]`, or `[n, k]` if transposed.
    pub b: Operand,
}

/// How an operand of a matrix product lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// Row-major, as it is used.
    Plain,
    /// The transpose of what is used.
    Transposed,
}

/// Matrix products on a device.
pub trait MatmulBackend: Memory {
    /// `c = op(a) op(b)`, or added to what is there; `a` and `b` have one float dtype, `c` has
    /// that dtype or f32. Sums are f32.
    fn matmul(
        &self,
        geometry: &Matmul,
        a: &Self::Buffer,
        b: &Self::Buffer,
        sum: Sum,
        c: &mut Self::Buffer,
    ) -> Result<()>;
}

/// `op(a) op(b)` of two matrices of one float dtype, whose dtype the result has.
///
/// # Errors
/// [`Error::ShapeMismatch`] if the inner extents differ.
pub fn matmul<B: MatmulBackend>(
    a: &Tensor<B>,
    a_operand: Operand,
    b: &Tensor<B>,
    b_operand: Operand,
) -> Result<Tensor<B>> {
    let geometry = geometry("matmul", a, a_operand, b, b_operand)?;
    let mut c = Tensor::zeros(a.backend(), a.dtype(), [geometry.m, geometry.n])?;
    a.backend().matmul(&geometry, a.buffer(), b.buffer(), Sum::Store, c.buffer_mut()?)?;
    Ok(c)
}

/// `c += op(a) op(b)`, for gradients that are gathered over several products.
///
/// # Errors
/// [`Error::ShapeMismatch`] if the extents do not go together; [`Error::DType`] unless `c` has the
/// operands' dtype or f32.
pub fn matmul_add<B: MatmulBackend>(
    a: &Tensor<B>,
    a_operand: Operand,
    b: &Tensor<B>,
    b_operand: Operand,
    c: &mut Tensor<B>,
) -> Result<()> {
    const OP: &str = "matmul_add";
    let geometry = geometry(OP, a, a_operand, b, b_operand)?;
    if c.dtype() != DType::F32 {
        check::dtype(OP, c, a.dtype(), "f32 or the dtype of the operands")?;
    }
    check::shape(OP, c.shape(), [geometry.m, geometry.n].into(), "c is [m, n]")?;
    a.backend().matmul(&geometry, a.buffer(), b.buffer(), Sum::Add, c.buffer_mut()?)
}

fn geometry<B: Memory>(
    op: &'static str,
    a: &Tensor<B>,
    a_operand: Operand,
    b: &Tensor<B>,
    b_operand: Operand,
) -> Result<Matmul> {
    check::float(op, a)?;
    check::dtype(op, b, a.dtype(), "the dtype of a")?;
    check::rank(op, a, 2, "a is a matrix")?;
    check::rank(op, b, 2, "b is a matrix")?;
    let extents = |tensor: &Tensor<B>, operand| match operand {
        Operand::Plain => (tensor.shape()[0], tensor.shape()[1]),
        Operand::Transposed => (tensor.shape()[1], tensor.shape()[0]),
    };
    let ((m, k), (inner, n)) = (extents(a, a_operand), extents(b, b_operand));
    if k != inner {
        return Err(Error::ShapeMismatch {
            op,
            left: a.shape(),
            right: b.shape(),
            rule: "the columns of op(a) must be as many as the rows of op(b)",
        });
    }
    Ok(Matmul { m, n, k, a: a_operand, b: b_operand })
}
