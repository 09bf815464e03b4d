//! Where the sums of the three passes go.

use crate::Float;
use crate::cpu::kernel::Output;
use crate::cpu::simd::Simd;
use crate::ops::Sum;

/// Pixels of an output map: `y[places[row] + column] = relu(bias[column] + sum)`.
pub(super) struct Map<'a, T> {
    pub(super) y: *mut T,
    pub(super) places: &'a [u32],
    pub(super) bias: Option<*const f32>,
    pub(super) relu: bool,
}

/// Pixels of an input gradient: `dx[places[row] + column] = sum`, or 0 where `mask <= 0`.
pub(super) struct Gradient<'a, T> {
    pub(super) dx: *mut T,
    pub(super) places: &'a [u32],
    pub(super) mask: Option<*const T>,
}

/// Rows of a matrix of whole vectors: `c[row pitch + column] = sum`, or added to.
pub(super) struct Plane {
    pub(super) c: *mut f32,
    pub(super) pitch: usize,
    pub(super) sum: Sum,
}

/// Rows of a matrix: `c[row pitch + column] += sum`.
pub(super) struct Rows {
    pub(super) c: *mut f32,
    pub(super) pitch: usize,
}

/// Columns of a matrix: `c[column pitch + row] += sum`.
pub(super) struct Columns {
    pub(super) c: *mut f32,
    pub(super) pitch: usize,
}

// SAFETY of every block below: the contracts of `Output` and `Simd`, and that of the maker of the
// struct that its pointers are valid for every place and column of the product.
#[allow(clippy::undocumented_unsafe_blocks)]
impl<T: Float> Output for Map<'_, T> {
    #[inline(always)]
    unsafe fn initial<S: Simd>(&self, column: usize, lanes: usize) -> S::Vector {
        unsafe {
            match self.bias {
                Some(bias) => S::load_partial(bias.add(column), lanes),
                None => S::splat(0.0),
            }
        }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(&self, row: usize, column: usize, sums: S::Vector, lanes: usize) {
        unsafe {
            let to = self.y.add(*self.places.get_unchecked(row) as usize + column);
            S::store_as(to, if self.relu { S::relu(sums) } else { sums }, lanes);
        }
    }
}

#[allow(clippy::undocumented_unsafe_blocks)]
impl<T: Float> Output for Gradient<'_, T> {
    #[inline(always)]
    unsafe fn initial<S: Simd>(&self, _: usize, _: usize) -> S::Vector {
        unsafe { S::splat(0.0) }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(&self, row: usize, column: usize, sums: S::Vector, lanes: usize) {
        unsafe {
            let place = *self.places.get_unchecked(row) as usize + column;
            let sums = match self.mask {
                Some(mask) => S::where_positive(S::load_as(mask.add(place), lanes), sums),
                None => sums,
            };
            S::store_as(self.dx.add(place), sums, lanes);
        }
    }
}

#[allow(clippy::undocumented_unsafe_blocks)]
impl Output for Plane {
    #[inline(always)]
    unsafe fn initial<S: Simd>(&self, _: usize, _: usize) -> S::Vector {
        unsafe { S::splat(0.0) }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(&self, row: usize, column: usize, sums: S::Vector, _: usize) {
        unsafe {
            let to = self.c.add(row * self.pitch + column);
            S::store(
                to,
                match self.sum {
                    Sum::Store => sums,
                    Sum::Add => S::add(S::load(to), sums),
                },
            );
        }
    }
}

#[allow(clippy::undocumented_unsafe_blocks)]
impl Output for Rows {
    #[inline(always)]
    unsafe fn initial<S: Simd>(&self, _: usize, _: usize) -> S::Vector {
        unsafe { S::splat(0.0) }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(&self, row: usize, column: usize, sums: S::Vector, lanes: usize) {
        unsafe {
            let to = self.c.add(row * self.pitch + column);
            S::store_as(to, S::add(S::load_as(to, lanes), sums), lanes);
        }
    }
}

#[allow(clippy::undocumented_unsafe_blocks)]
impl Output for Columns {
    #[inline(always)]
    unsafe fn initial<S: Simd>(&self, _: usize, _: usize) -> S::Vector {
        unsafe { S::splat(0.0) }
    }

    #[inline(always)]
    unsafe fn store<S: Simd>(&self, row: usize, column: usize, sums: S::Vector, lanes: usize) {
        let mut values = [0.0f32; crate::cpu::simd::MAX_LANES];
        unsafe { S::store(values.as_mut_ptr(), sums) };
        for (lane, value) in values.iter().enumerate().take(lanes) {
            unsafe { *self.c.add((column + lane) * self.pitch + row) += value };
        }
    }
}
