//! Arguments of C functions as types that carry the caller's promises.

use crate::status::{Res, Status};
use std::ffi::{CStr, c_char};

/// Where a function writes a result. The caller of the C function promises that it is null or
/// points to writable memory for a `T`.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Out<T>(*mut T);

/// An array that a function reads. The caller promises that it has as many elements as the
/// function's contract says.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct In<T>(*const T);

/// A C string, or null.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Text(*const c_char);

impl<T> Out<T> {
    /// Writes the result; null is an invalid value.
    pub(crate) fn set(self, value: T) -> Res {
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        self.set_if_wanted(value);
        Ok(())
    }

    /// Writes the result unless the caller passed null.
    pub(crate) fn set_if_wanted(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: the caller's promise.
            unsafe { self.0.write(value) };
        }
    }
}

impl<T: Copy> Out<T> {
    /// Writes several results one behind another.
    pub(crate) fn set_all(self, values: &[T]) {
        // SAFETY: the caller's promise, for as many elements as the function's contract says.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.0, values.len()) };
    }

    /// The value that is there already, for arguments that go both ways.
    pub(crate) fn get(self) -> Res<T> {
        // SAFETY: the caller's promise.
        if self.0.is_null() { Err(Status::INVALID_VALUE) } else { Ok(unsafe { self.0.read() }) }
    }

    /// The same place, for a function whose contract gives it several types.
    pub(crate) fn cast<U>(self) -> Out<U> {
        Out(self.0.cast())
    }

    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// The address.
    pub(crate) fn address(self) -> usize {
        self.0 as usize
    }
}

impl<T: Copy> In<T> {
    /// The first `count` elements.
    pub(crate) fn read(self, count: usize) -> Res<Vec<T>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: the caller's promise.
        Ok(unsafe { std::slice::from_raw_parts(self.0, count) }.to_vec())
    }

    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// The pointer.
    pub(crate) fn pointer(self) -> *const T {
        self.0
    }
}

impl Text {
    /// The string; null is an invalid value.
    pub(crate) fn get<'a>(self) -> Res<&'a CStr> {
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: the caller's promise; the string is read before the call returns.
        Ok(unsafe { CStr::from_ptr(self.0) })
    }

    /// The string in UTF-8; empty for null.
    pub(crate) fn to_owned(self) -> String {
        self.get().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
    }
}
