//! Threads that stay, for work that comes many times a second.
//!
//! rayon serves operations and decoding; here a stage of a training step lasts tens of
//! microseconds to milliseconds, is handed out as a few large items, and must not suffer when a
//! neighbour takes a core away: threads wait by a short spin and then sleep.

use std::any::Any;
use std::hint;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};

use crate::TrainError;

/// Looks at a condition before a waiting thread goes to sleep: tens of microseconds, about the time
/// that falling asleep and waking up take.
const SPINS: u32 = 2_000;

/// A number of threads, the calling one among them.
pub(crate) struct Team {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Counts the jobs; a helper has done as many as it has seen. `STOP` ends the helpers.
    generation: AtomicU64,
    /// Helpers that have not finished the job yet.
    busy: AtomicUsize,
    job: Mutex<Option<Job>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// What to do, and whom to wake when it is done.
#[derive(Clone)]
struct Job {
    body: &'static (dyn Fn(usize) + Sync),
    caller: Thread,
}

const STOP: u64 = u64::MAX;

impl Team {
    /// A team of `threads` threads, of which the caller is one.
    pub(crate) fn new(threads: usize) -> Result<Self, TrainError> {
        let shared = Arc::new(Shared {
            generation: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
            job: Mutex::new(None),
            panic: Mutex::new(None),
        });
        let mut team = Team { shared, helpers: Vec::new() };
        for index in 1..threads {
            let shared = Arc::clone(&team.shared);
            let helper = thread::Builder::new()
                .name(format!("nasrl-child-{index}"))
                .spawn(move || help(&shared, index))
                .map_err(|source| TrainError::Threads { threads, source })?;
            team.helpers.push(helper);
        }
        Ok(team)
    }

    /// How many threads there are.
    pub(crate) fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Calls `body(worker, index, item)` once for every item. Each thread has a worker of its own,
    /// of which there must be as many as threads, and takes the next item whenever it is free.
    ///
    /// # Errors
    /// That of the first item, by index, that had one; all items are done nevertheless.
    ///
    /// # Panics
    /// With the panic of a `body` that panicked, once all threads are done.
    pub(crate) fn for_each<W: Send, T: Send, E: Send>(
        &mut self,
        workers: &mut [W],
        items: &mut [T],
        body: impl Fn(&mut W, usize, &mut T) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        assert_eq!(workers.len(), self.threads(), "every thread has a worker");
        let next = AtomicUsize::new(0);
        let failure: Mutex<Option<(usize, E)>> = Mutex::new(None);
        let (count, workers, items) =
            (items.len(), Shares(workers.as_mut_ptr()), Shares(items.as_mut_ptr()));
        self.broadcast(&|thread| {
            // SAFETY: `broadcast` calls with every index below `threads()`, which is the length
            // of `workers`, once, so that no two threads have one worker.
            let worker = unsafe { &mut *workers.get(thread) };
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return;
                }
                // SAFETY: the counter gives out every index below the length of `items` once.
                // Both slices are borrowed mutably until `broadcast` has returned, and it returns
                // after all calls have.
                let outcome = body(worker, index, unsafe { &mut *items.get(index) });
                if let Err(error) = outcome {
                    let mut failure = lock(&failure);
                    if failure.as_ref().is_none_or(|(earlier, _)| index < *earlier) {
                        *failure = Some((index, error));
                    }
                }
            }
        });
        let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Calls `body(worker)` in one thread after another, with the worker that is its own.
    ///
    /// # Errors
    /// That of a thread that had one.
    ///
    /// # Panics
    /// As [`Team::for_each`].
    pub(crate) fn in_turn<W: Send, E: Send>(
        &mut self,
        workers: &mut [W],
        body: impl FnMut(&mut W) -> Result<(), E> + Send,
    ) -> Result<(), E> {
        assert_eq!(workers.len(), self.threads(), "every thread has a worker");
        let turn = Mutex::new((workers, body, Ok(())));
        self.broadcast(&|thread| {
            let (workers, body, outcome) = &mut *lock(&turn);
            if outcome.is_ok() {
                *outcome = body(&mut workers[thread]);
            }
        });
        turn.into_inner().unwrap_or_else(PoisonError::into_inner).2
    }

    /// Calls `body(thread)` once in every thread and returns when all calls have returned.
    ///
    /// # Panics
    /// As [`Team::for_each`].
    fn broadcast(&mut self, body: &(dyn Fn(usize) + Sync)) {
        if self.helpers.is_empty() {
            return body(0);
        }
        // SAFETY: only the lifetime changes. Helpers call the body of a job before they count
        // themselves out of `busy`, and this function returns, or unwinds, after all have.
        let body: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(body) };
        *lock(&self.shared.job) = Some(Job { body, caller: thread::current() });
        self.shared.busy.store(self.helpers.len(), Ordering::Relaxed);
        self.shared.generation.fetch_add(1, Ordering::Release);
        self.helpers.iter().for_each(|helper| helper.thread().unpark());

        let own = panic::catch_unwind(AssertUnwindSafe(|| body(0)));
        wait_until(|| self.shared.busy.load(Ordering::Acquire) == 0);
        *lock(&self.shared.job) = None;
        if let Some(panic) = own.err().or(lock(&self.shared.panic).take()) {
            panic::resume_unwind(panic);
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.generation.store(STOP, Ordering::Release);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            // A helper catches the panics of its jobs and has none of its own to report.
            let _ = helper.join();
        }
    }
}

/// The elements of a slice that several threads take apart between them.
struct Shares<T>(*mut T);

// SAFETY: a share is an exclusive reference that moves to another thread, which `T: Send` allows.
unsafe impl<T: Send> Sync for Shares<T> {}

impl<T> Shares<T> {
    /// The address of an element.
    ///
    /// # Safety
    /// The index is within the slice.
    unsafe fn get(&self, index: usize) -> *mut T {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(index) }
    }
}

fn help(shared: &Shared, index: usize) {
    let mut done = 0;
    loop {
        wait_until(|| shared.generation.load(Ordering::Acquire) != done);
        if shared.generation.load(Ordering::Acquire) == STOP {
            return;
        }
        done += 1;
        let Some(Job { body, caller }) = lock(&shared.job).clone() else { continue };
        if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| body(index))) {
            lock(&shared.panic).get_or_insert(panic);
        }
        if shared.busy.fetch_sub(1, Ordering::Release) == 1 {
            caller.unpark();
        }
    }
}

/// Waits for a condition whose change is followed by an `unpark` of this thread.
fn wait_until(condition: impl Fn() -> bool) {
    for _ in 0..SPINS {
        if condition() {
            return;
        }
        hint::spin_loop();
    }
    while !condition() {
        thread::park();
    }
}

/// A poisoned lock is no concern: what panics under one is a body, whose panic is passed on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Done = Result<(), usize>;

    #[test]
    fn every_item_is_done_once_by_some_worker() {
        for threads in [1, 2, 3, 7] {
            let mut team = Team::new(threads).unwrap();
            for items in [0, 1, 2, 5, 100] {
                let (mut workers, mut items) = (vec![0; threads], vec![0; items]);
                for _ in 0..50 {
                    let outcome: Done =
                        team.for_each(&mut workers, &mut items, |worker, index, item| {
                            *worker += 1;
                            *item += index;
                            Ok(())
                        });
                    outcome.unwrap();
                }
                assert!(items.iter().enumerate().all(|(index, item)| *item == 50 * index));
                assert_eq!(workers.iter().sum::<usize>(), 50 * items.len());
            }
        }
    }

    #[test]
    fn helpers_that_fell_asleep_wake_up() {
        let mut team = Team::new(2).unwrap();
        for _ in 0..3 {
            thread::sleep(std::time::Duration::from_millis(20));
            let met = AtomicUsize::new(0);
            let outcome: Done = team.for_each(&mut [(), ()], &mut [(), ()], |(), _, ()| {
                met.fetch_add(1, Ordering::SeqCst);
                while met.load(Ordering::SeqCst) < 2 {
                    thread::yield_now();
                }
                Ok(())
            });
            outcome.unwrap();
        }
    }

    #[test]
    fn the_first_error_by_index_is_reported() {
        for threads in [1, 4] {
            let mut team = Team::new(threads).unwrap();
            let mut items = vec![0; 30];
            let outcome: Done =
                team.for_each(&mut vec![(); threads], &mut items, |(), index, item| {
                    *item = 1;
                    if index % 10 == 7 { Err(index) } else { Ok(()) }
                });
            assert_eq!(outcome, Err(7));
            assert_eq!(items, [1; 30]);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_leaves_the_team_usable() {
        let mut team = Team::new(3).unwrap();
        for bad in 0..20 {
            let mut items = vec![0; 20];
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
                team.for_each(&mut [(); 3], &mut items, |(), index, item| -> Done {
                    assert_ne!(index, bad, "planned");
                    *item = 1;
                    Ok(())
                })
            }));
            assert!(outcome.is_err());
            let outcome: Done = team.for_each(&mut [(); 3], &mut items, |(), _, item| {
                *item = 2;
                Ok(())
            });
            outcome.unwrap();
            assert_eq!(items, [2; 20]);
        }
    }
}
