use std::time::{Duration, Instant};

/// The time that a check may take.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    end: Option<Instant>,
}

impl Budget {
    /// So long from now; without a bound where the clock does not reach that far.
    pub fn new(length: Duration) -> Self {
        Budget { end: Instant::now().checked_add(length) }
    }

    /// Whether it is used up.
    pub fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }
}
