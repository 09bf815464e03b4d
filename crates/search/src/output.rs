//! Printing. Where nobody reads any more, as behind `| head`, that is no reason to end a search.

use std::fmt;
use std::io::{self, Write};

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
    let _ = output.write_fmt(text).and_then(|()| output.flush());
}

/// Writes to standard error.
pub(crate) fn remarks(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}
