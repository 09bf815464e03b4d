//! The best trials, for priority-queue training.

use nasrl_space::Tokens;

/// The best distinct token strings so far (Abolafia et al. 2018, arXiv 1801.03526, section 3.2),
/// best first; of equal ones the earlier.
pub(crate) struct Queue {
    size: usize,
    pub(crate) entries: Vec<Entry>,
}

/// A token string and its reward.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) tokens: Tokens,
    pub(crate) reward: f64,
}

impl Queue {
    pub(crate) fn new(size: usize) -> Self {
        Queue { size, entries: vec![] }
    }

    /// Takes a trial; of a repeated token string the better reward counts.
    pub(crate) fn observe(&mut self, tokens: &Tokens, reward: f64) {
        match self.entries.iter().position(|entry| entry.tokens == *tokens) {
            Some(same) if self.entries[same].reward >= reward => return,
            Some(same) => drop(self.entries.remove(same)),
            None => {}
        }
        let place = self.entries.partition_point(|entry| entry.reward >= reward);
        if place < self.size {
            self.entries.truncate(self.size - 1);
            self.entries.insert(place, Entry { tokens: tokens.clone(), reward });
        }
    }
}

#[cfg(test)]
mod tests {
    use nasrl_space::Space;

    use super::*;

    #[test]
    fn keeps_the_best_distinct_ones_in_order() {
        let space = Space::reference();
        let tokens: Vec<Tokens> = space.iter().take(6).collect();
        let mut queue = Queue::new(3);
        for (index, reward) in
            [(0, 0.2), (1, 0.4), (2, 0.4), (0, 0.1), (3, 0.1), (4, 0.3), (1, 0.5), (5, 0.3)]
        {
            queue.observe(&tokens[index], reward);
        }
        let kept: Vec<_> =
            queue.entries.iter().map(|entry| (&entry.tokens, entry.reward)).collect();
        assert_eq!(kept, [(&tokens[1], 0.5), (&tokens[2], 0.4), (&tokens[4], 0.3)]);
    }
}
