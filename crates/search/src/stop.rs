//! Asking a search to stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

/// A request to stop, shared by all who have to heed it. Once made it stays.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

/// The exit code of a process that a second signal ended.
pub const EXIT_INTERRUPTED: i32 = 130;

impl Stop {
    /// A request that nobody has made yet.
    pub fn new() -> Self {
        Stop::default()
    }

    /// Makes the request on the first Ctrl-C or SIGTERM that the process gets. The second ends the
    /// process at once, with [`EXIT_INTERRUPTED`].
    ///
    /// # Errors
    /// If the operating system refuses the handlers.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Stop::new();
        for signal in [SIGINT, SIGTERM] {
            let requested = Arc::clone(&stop.0);
            // Two signals may be handled at one moment, by two threads: one of them is the second.
            let handle = move || {
                if requested.swap(true, Ordering::SeqCst) {
                    signal_hook::low_level::exit(EXIT_INTERRUPTED);
                }
            };
            // SAFETY: an atomic exchange and `_exit` are all that the handler does, and both may be
            // done in one.
            unsafe { signal_hook::low_level::register(signal, handle) }?;
        }
        Ok(stop)
    }

    /// Makes the request.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was made.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// The request as a flag, for those who know nothing of this type.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// Sleeps, unless and until the request is made; whether the whole time went by.
    pub fn sleep(&self, length: Duration) -> bool {
        const STEP: Duration = Duration::from_millis(20);
        let mut left = length;
        while !self.requested() {
            if left.is_zero() {
                return true;
            }
            let step = left.min(STEP);
            std::thread::sleep(step);
            left -= step;
        }
        false
    }
}
