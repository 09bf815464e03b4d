//! The barrier of a cooperative launch, at which CPU threads wait, one a block.

use std::sync::{Condvar, Mutex, PoisonError};

/// Lets the blocks of a grid wait for each other.
#[derive(Debug)]
pub(crate) struct GridBarrier {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    blocks: u64,
    arrived: u64,
    rounds: u64,
    ended: Option<&'static str>,
}

impl GridBarrier {
    /// A barrier for that many blocks.
    pub(crate) fn new(blocks: u64) -> Self {
        let state = State { blocks, arrived: 0, rounds: 0, ended: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Waits for all other blocks; an error if they will not come.
    pub(crate) fn wait(&self) -> Result<(), String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let round = state.rounds;
        if state.ended.is_none() {
            state.arrived += 1;
            if state.arrived == state.blocks {
                state.arrived = 0;
                state.rounds += 1;
                self.changed.notify_all();
                return Ok(());
            }
        }
        while state.rounds == round && state.ended.is_none() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match state.ended {
            Some(reason) if state.rounds == round => Err(reason.into()),
            _ => Ok(()),
        }
    }

    /// Wakes all blocks that wait, because another one failed.
    pub(crate) fn abort(&self) {
        self.end("another block of the grid failed while this one waited at the grid's barrier");
    }

    /// Notes that a block exited, so that no other may wait for it any more.
    pub(crate) fn leave(&self) {
        self.end("the grid's barrier waits for a block that has exited");
    }

    fn end(&self, reason: &'static str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended.get_or_insert(reason);
        self.changed.notify_all();
    }
}
