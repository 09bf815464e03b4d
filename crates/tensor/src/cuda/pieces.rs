use super::launch::Grid;
use super::module::Kernel;

/// The forms of a kernel that moves an array in pieces, see `pieces.cuh`.
pub(super) struct Pieces<const N: usize, G: 'static> {
    /// A piece is one element.
    pub(super) one: &'static Kernel<N, G>,
    /// A piece is eight elements.
    pub(super) eight: &'static Kernel<N, G>,
}

impl<const N: usize, G> Pieces<N, G> {
    /// The kernel for arrays with these offsets and extents, and how many elements its pieces have.
    pub(super) fn choose(&self, places: &[usize]) -> (&'static Kernel<N, G>, usize) {
        match places.iter().all(|place| place % 8 == 0) {
            true => (self.eight, 8),
            false => (self.one, 1),
        }
    }
}

impl Grid {
    /// The grid of `pieces.cuh`.
    pub(super) fn pieces(count: usize) -> Self {
        Grid::over(count, 256)
    }
}
