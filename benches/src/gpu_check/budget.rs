use std::time::{Duration, Instant};

/// The time that a check, or a block of it, may take.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    end: Option<Instant>,
}

impl Budget {
    /// So long from now; without a bound where the clock does not reach that far.
    pub fn new(length: Duration) -> Self {
        Budget { end: Instant::now().checked_add(length) }
    }

    /// The share of `weight` in what is left, if all that is still to come weighs `total`.
    pub fn share(&self, weight: u32, total: u32) -> Self {
        match self.left() {
            Some(left) => Budget::new(left * weight / total.max(1)),
            None => *self,
        }
    }

    /// What is left; `None` if there is no bound.
    pub fn left(&self) -> Option<Duration> {
        self.end.map(|end| end.saturating_duration_since(Instant::now()))
    }

    /// Whether it is used up.
    pub fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_what_is_left() {
        let hour = Duration::from_secs(3600);
        let share = Budget::new(hour).share(1, 4).left().unwrap();
        assert!(share <= hour / 4 && share > hour / 5, "{share:?}");
        assert!(Budget::new(Duration::ZERO).share(1, 4).is_over());
        assert_eq!(Budget::new(Duration::MAX).share(1, 4).left(), None);
        assert!(!Budget::new(Duration::MAX).is_over());
    }
}
