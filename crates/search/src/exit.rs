//! How a command ends.

use std::error::Error;

/// The end of a command that did what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All of it.
    Done,
    /// Until somebody stopped it; it can be resumed.
    Stopped,
}

/// Why a command did not do what it was asked, and the exit code that tells so.
#[derive(Debug)]
pub(crate) struct CommandError {
    pub(crate) code: u8,
    pub(crate) reason: Box<dyn Error>,
}

/// The exit code of a failure at run time.
pub(crate) const FAILED: u8 = 1;
const REFUSED: u8 = 2;
const STOPPED: u8 = 3;

/// What a command returns.
pub(crate) type CommandResult = Result<Exit, CommandError>;

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Stopped => STOPPED,
        }
    }
}

/// Something is wrong with what was asked, and nothing was written.
pub(crate) fn refused(reason: impl Into<Box<dyn Error>>) -> CommandError {
    CommandError { code: REFUSED, reason: reason.into() }
}

/// Something went wrong on the way.
pub(crate) fn failed(reason: impl Into<Box<dyn Error>>) -> CommandError {
    CommandError { code: FAILED, reason: reason.into() }
}
