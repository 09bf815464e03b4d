//! Panics as values.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

thread_local! {
    /// The latest panic of this thread, with its place.
    static LATEST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps what panics say for [`catch`] in place of printing it.
pub fn silence() {
    panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let message = format!("{} at {place}", message(info.payload()));
        LATEST.with_borrow_mut(|latest| *latest = Some(message));
    }));
}

/// Runs `body`; what it said if it panicked.
///
/// # Errors
/// The panic's message, with its place if [`silence`] was called before.
pub fn catch<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    // Whoever calls this has to treat whatever `body` could have changed as lost.
    panic::catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        LATEST.with_borrow_mut(Option::take).unwrap_or_else(|| message(&*payload))
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}
