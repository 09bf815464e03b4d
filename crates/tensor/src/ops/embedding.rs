use super::check;
use crate::{DType, Error, Memory, Result, Tensor};

/// The geometry of a look-up: rows of a table chosen by indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Embedding {
    /// How many indices there are.
    pub count: usize,
    /// Elements of a row.
    pub width: usize,
}

/// Look-ups on a device, in f32.
pub trait EmbeddingBackend: Memory {
    /// `y[i, :] = table[index[i], :]`.
    fn embedding(
        &self,
        geometry: &Embedding,
        table: &Self::Buffer,
        index: &Self::Buffer,
        y: &mut Self::Buffer,
    ) -> Result<()>;

    /// `dtable[index[i], :] += dy[i, :]`, in the order of `i`.
    fn embedding_backward(
        &self,
        geometry: &Embedding,
        index: &Self::Buffer,
        dy: &Self::Buffer,
        dtable: &mut Self::Buffer,
    ) -> Result<()>;
}

/// `table[index]`: the table is f32 `[rows, width]`, the indices are u32 `[n]`, the result
/// `[n, width]`.
///
/// # Errors
/// [`Error::Index`] for an index that the table has no row for; [`Error::Shape`] unless the table
/// is a matrix with columns and the indices are a list; [`Error::DType`] for another dtype.
pub fn embedding<B: EmbeddingBackend>(table: &Tensor<B>, index: &Tensor<B>) -> Result<Tensor<B>> {
    const OP: &str = "embedding";
    check::dtype(OP, table, DType::F32, "f32")?;
    let [rows, width] = matrix(OP, table)?;
    check::rank(OP, index, 1, "the indices are [n]")?;
    check::indices(OP, "index", index, rows)?;
    let geometry = Embedding { count: index.shape()[0], width };
    let shape = [geometry.count, geometry.width];
    let mut y = Tensor::zeros(table.backend(), DType::F32, shape)?;
    let to = y.buffer_mut()?;
    table.backend().embedding(&geometry, table.buffer(), index.buffer(), to)?;
    Ok(y)
}

/// The gradient of the table of [`embedding`], which has `rows` rows: `dy` is `[n, width]`. The
/// gradients of an index that occurs more than once are added up in their order.
///
/// # Errors
/// Those of [`embedding`]; [`Error::ShapeMismatch`] unless there is an index for each row of `dy`.
pub fn embedding_backward<B: EmbeddingBackend>(
    index: &Tensor<B>,
    dy: &Tensor<B>,
    rows: usize,
) -> Result<Tensor<B>> {
    const OP: &str = "embedding_backward";
    check::dtype(OP, dy, DType::F32, "f32")?;
    let [count, width] = matrix(OP, dy)?;
    check::indices(OP, "index", index, rows)?;
    check::shape(OP, index.shape(), [count].into(), "an index for each row of dy")?;
    let geometry = Embedding { count, width };
    let mut dtable = Tensor::zeros(dy.backend(), DType::F32, [rows, width])?;
    let to = dtable.buffer_mut()?;
    dy.backend().embedding_backward(&geometry, index.buffer(), dy.buffer(), to)?;
    Ok(dtable)
}

/// Rows and columns; there are columns.
fn matrix<B: Memory>(op: &'static str, tensor: &Tensor<B>) -> Result<[usize; 2]> {
    match *tensor.shape().dims() {
        [rows, width] if width > 0 => Ok([rows, width]),
        _ => {
            let rule = "a table and its gradients are matrices with at least one column";
            Err(Error::Shape { op, shape: tensor.shape(), rule })
        }
    }
}
