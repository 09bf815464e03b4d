use super::check;
use crate::{DType, Error, Memory, Result, Tensor};

/// Which images of a dataset a batch has.
#[derive(Debug)]
pub struct Selection<'a, T> {
    /// u32: images in the order in which batches take them, one batch after another.
    pub order: &'a T,
    /// u32: the label of every image of the dataset.
    pub labels: &'a T,
    /// How far apart batches begin in `order`.
    pub stride: usize,
    /// How many images this batch has.
    pub count: usize,
}

/// What a batch is selected into.
#[derive(Debug)]
pub struct Selected<'a, T> {
    /// u32 `[step, row]`.
    pub clock: &'a mut T,
    /// u32: which images they are.
    pub indices: &'a mut T,
    /// u32: their labels.
    pub labels: &'a mut T,
}

/// The start of a step on a device that holds the dataset.
pub trait SelectBackend: Memory {
    /// Adds 1 to both numbers of the clock, 2^32 - 1 becoming 0, and then selects batch `row`:
    /// `indices[i] = order[row stride + i]` and `labels[i]` its label, for `i < count`.
    fn select(
        &self,
        selection: &Selection<'_, Self::Buffer>,
        selected: Selected<'_, Self::Buffer>,
    ) -> Result<()>;
}

/// The next batch of `count` images, in a dataset with u32 `labels` `[n]` and the u32 `order` `[m]`:
/// the indices and the labels `[count]` of its images. The u32 clock `[step, row]` advances first;
/// batch `row` begins at `row count` of the order.
///
/// # Errors
/// [`Error::DType`] unless all are u32; [`Error::Shape`] for a clock of another shape or a dataset
/// that is no list; [`Error::Index`] for an order with something that is no image;
/// [`Error::Parameter`] unless the order has all of that batch.
pub fn select<B: SelectBackend>(
    order: &Tensor<B>,
    labels: &Tensor<B>,
    count: usize,
    clock: &mut Tensor<B>,
) -> Result<[Tensor<B>; 2]> {
    const OP: &str = "select";
    check::dtype(OP, labels, DType::U32, "u32 labels")?;
    check::dtype(OP, clock, DType::U32, "a u32 clock")?;
    check::rank(OP, labels, 1, "labels are a list")?;
    check::rank(OP, order, 1, "an order is a list")?;
    check::shape(OP, clock.shape(), [2].into(), "a clock is [step, row]")?;
    check::indices(OP, "image", order, labels.shape().count())?;
    let row = clock.to_vec::<u32>()?[1].wrapping_add(1) as usize;
    let end = row.checked_add(1).and_then(|rows| rows.checked_mul(count));
    if end.is_none_or(|end| end > order.shape().count()) {
        let (name, value) = ("the clock's row", row.to_string());
        return Err(Error::Parameter { op: OP, name, value, rule: "that of a batch of the order" });
    }
    let on = order.backend().clone();
    let mut indices = Tensor::zeros(&on, DType::U32, [count])?;
    let mut of_images = Tensor::zeros(&on, DType::U32, [count])?;
    let selection =
        Selection { order: order.buffer(), labels: labels.buffer(), stride: count, count };
    let selected = Selected {
        clock: clock.buffer_mut()?,
        indices: indices.buffer_mut()?,
        labels: of_images.buffer_mut()?,
    };
    on.select(&selection, selected)?;
    Ok([indices, of_images])
}
