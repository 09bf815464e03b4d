//! An allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counting the bytes in use and how often it was asked; a test that is a
/// process of its own makes it the global one.
pub struct Counting;

static CURRENT: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static REQUESTS: AtomicUsize = AtomicUsize::new(0);

impl Counting {
    /// The bytes in use.
    pub fn current(&self) -> usize {
        CURRENT.load(Ordering::Relaxed)
    }

    /// The highest number of bytes in use since the last [`Counting::forget_peak`].
    pub fn peak(&self) -> usize {
        PEAK.load(Ordering::Relaxed)
    }

    /// Sets the peak to what is in use now.
    pub fn forget_peak(&self) {
        PEAK.store(self.current(), Ordering::Relaxed);
    }

    /// How often memory was asked for, more of it for what was there included.
    pub fn requests(&self) -> usize {
        REQUESTS.load(Ordering::Relaxed)
    }
}

fn grow(bytes: usize) {
    REQUESTS.fetch_add(1, Ordering::Relaxed);
    let current = CURRENT.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(current, Ordering::Relaxed);
}

// SAFETY: every call goes to `System` with the arguments it came with, so its contract is kept by
// the caller; counting neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller keeps `GlobalAlloc::alloc`'s contract, which is `System`'s too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CURRENT.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `pointer` came from `System` through `alloc` or `realloc`, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    /// Counted in place: large blocks are remapped and not copied.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        CURRENT.fetch_sub(layout.size(), Ordering::Relaxed);
        grow(new_size);
        // SAFETY: as in `dealloc`, and the caller keeps the contract on `new_size`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
