//! Printing. That printing fails is no reason to end a search.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// Why results were lost, if they were.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints a line of results.
macro_rules! say {
    ($($arguments:tt)*) => {
        $crate::output::results(format_args!("{}\n", format_args!($($arguments)*)))
    };
}

/// Prints results that end their lines themselves.
macro_rules! put {
    ($($arguments:tt)*) => {
        $crate::output::results(format_args!($($arguments)*))
    };
}

/// Prints a line that is not a result.
macro_rules! remark {
    ($($arguments:tt)*) => {
        $crate::output::remarks(format_args!("{}\n", format_args!($($arguments)*)))
    };
}

pub(crate) use {put, remark, say};

/// Writes to standard output.
pub(crate) fn results(text: fmt::Arguments<'_>) {
    let mut output = io::stdout().lock();
    match output.write_fmt(text).and_then(|()| output.flush()) {
        // Whoever stops reading, as `head` does, has read enough.
        Err(reason) if reason.kind() != io::ErrorKind::BrokenPipe => {
            *LOST.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        }
        _ => {}
    }
}

/// Why not all results reached standard output, if they did not.
pub(crate) fn lost() -> Option<io::Error> {
    LOST.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Writes to standard error.
pub(crate) fn remarks(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}
