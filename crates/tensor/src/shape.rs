use std::fmt;
use std::ops::Deref;

/// The most dimensions a [`Shape`] has.
pub const MAX_RANK: usize = 6;

/// The extents of a tensor, outermost first; up to [`MAX_RANK`] of them, on the stack.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// A shape of the given extents.
    ///
    /// # Panics
    /// If there are more than [`MAX_RANK`]; the `From` conversions of arrays are checked when the
    /// program is compiled.
    pub fn new(extents: &[usize]) -> Self {
        let mut dims = [1; MAX_RANK];
        dims[..extents.len()].copy_from_slice(extents);
        Shape { dims, rank: extents.len() }
    }

    /// The extents, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// How many elements: the product of the extents, 1 for a scalar.
    pub fn count(&self) -> usize {
        self.dims().iter().product()
    }

    /// The extent of the last dimension; 1 for a scalar.
    pub fn last(&self) -> usize {
        self.dims().last().copied().unwrap_or(1)
    }
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        self.dims()
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        const { assert!(N <= MAX_RANK, "a shape has at most six dimensions") };
        Shape::new(&dims)
    }
}

impl From<usize> for Shape {
    fn from(length: usize) -> Self {
        Shape::new(&[length])
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.dims()).finish()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
