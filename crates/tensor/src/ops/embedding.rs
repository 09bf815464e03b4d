use super::check;
use crate::{Backend, DType, Memory, Result, Tensor};

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
/// [`crate::Error::Index`] for an index that the table has no row for.
pub fn embedding<B: Backend>(table: &Tensor<B>, index: &Tensor<B>) -> Result<Tensor<B>> {
    const OP: &str = "embedding";
    check::dtype(OP, table, DType::F32, "f32")?;
    check::rank(OP, table, 2, "the table is [rows, width]")?;
    check::rank(OP, index, 1, "the indices are [n]")?;
    check::indices(OP, "index", index, table.shape()[0])?;
    let geometry = Embedding { count: index.shape()[0], width: table.shape()[1] };
    let shape = [geometry.count, geometry.width];
    let mut y = Tensor::zeros(table.backend(), DType::F32, shape)?;
    let to = y.buffer_mut()?;
    table.backend().embedding(&geometry, table.buffer(), index.buffer(), to)?;
    Ok(y)
}

/// The gradient of the table of [`embedding`], which has `rows` rows: `dy` is `[n, width]`.
///
/// # Errors
/// [`crate::Error::Index`] for an index that the table has no row for.
pub fn embedding_backward<B: Backend>(
    index: &Tensor<B>,
    dy: &Tensor<B>,
    rows: usize,
) -> Result<Tensor<B>> {
    const OP: &str = "embedding_backward";
    check::dtype(OP, dy, DType::F32, "f32")?;
    check::rank(OP, dy, 2, "dy is [n, width]")?;
    check::indices(OP, "index", index, rows)?;
    check::shape(OP, index.shape(), [dy.shape()[0]].into(), "an index for each row of dy")?;
    let geometry = Embedding { count: dy.shape()[0], width: dy.shape()[1] };
    let mut dtable = Tensor::zeros(dy.backend(), DType::F32, [rows, geometry.width])?;
    let to = dtable.buffer_mut()?;
    dy.backend().embedding_backward(&geometry, index.buffer(), dy.buffer(), to)?;
    Ok(dtable)
}
