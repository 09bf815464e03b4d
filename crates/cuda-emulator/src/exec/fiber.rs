//! Stack switching for x86-64 System V. A suspended fiber is a saved stack pointer: the six
//! callee-saved registers lie on top of its stack, below the return address. One of them, r15,
//! holds the current CUDA thread in kernel code, so every switch carries it along.

use crate::memory::PAGE;
use std::arch::naked_asm;

/// Saves the current context to `*save` and continues at the context `to`.
///
/// # Safety
/// `save` is writable; `to` was saved by this function, by an entry stub or made by [`prepare`],
/// and is continued once.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn switch(save: *mut usize, to: usize) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Continues at the context `to`; the current one is given up, with all that its frames own.
///
/// # Safety
/// As for [`switch`].
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn jump(to: usize) -> ! {
    naked_asm!(
        "mov rsp, rdi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// First code of a fresh fiber: rbx holds the argument, r12 the entry.
///
/// # Safety
/// Only reached through a context that [`prepare`] laid out.
#[unsafe(naked)]
unsafe extern "sysv64" fn start() {
    naked_asm!("mov rdi, rbx", "call r12", "ud2")
}

/// Lays out a fresh context below `top` that calls `entry(argument)`.
///
/// # Safety
/// `top` is a multiple of 16 and the 56 bytes below it are writable and used by nobody.
pub(crate) unsafe fn prepare(
    top: usize,
    entry: unsafe extern "sysv64" fn(usize) -> !,
    argument: usize,
) -> usize {
    // In the order in which they are popped: r15, r14, r13, r12, rbx, rbp, return address. After
    // them rsp is a multiple of 16, as `start` needs it for its call.
    let frame = [0, 0, 0, entry as usize, argument, 0, start as *const () as usize];
    let at = top - size_of_val(&frame);
    // SAFETY: the caller gives these bytes.
    unsafe { (at as *mut [usize; 7]).write(frame) };
    at
}

/// A region of equally sized stacks with a guard page below each.
#[derive(Debug)]
pub(crate) struct Stacks {
    map: Mapping,
    pub(crate) size: usize,
    pub(crate) count: usize,
}

/// Memory between two guard pages, which faults of its users do not reach beyond.
#[derive(Debug)]
pub(crate) struct Mapping {
    pub(crate) start: usize,
    pub(crate) length: usize,
}

impl Stacks {
    /// Maps the stacks, or says why not.
    pub(crate) fn new(count: usize, size: usize) -> std::io::Result<Self> {
        // An odd number of pages: at a power-of-two stride the hot pages of all stacks would share
        // a few sets of the TLB, which costs a factor of three.
        let pages = size.div_ceil(PAGE) + 1;
        let size = (pages | 1) * PAGE;
        let map = Mapping::new(count * size)?;
        for i in 0..count {
            // SAFETY: the page lies inside the mapping made above.
            unsafe { libc::mprotect((map.start + i * size) as *mut _, PAGE, libc::PROT_NONE) };
        }
        Ok(Self { map, size, count })
    }

    /// Where stack `i` begins. Staggered by cache lines, so that the hot frames of all fibers do
    /// not fall into the same cache sets.
    pub(crate) fn top(&self, i: usize) -> usize {
        self.map.start + (i + 1) * self.size - (i * 7 % 64) * 64
    }

    /// Whether an address lies in any of the stacks.
    pub(crate) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.map.start) < self.count * self.size
    }

    /// Whether an address lies in a guard page.
    pub(crate) fn in_guard(&self, address: usize) -> bool {
        self.contains(address) && (address - self.map.start) % self.size < PAGE
    }

    /// Whether an address lies in stack `i`.
    pub(crate) fn owns(&self, i: usize, address: usize) -> bool {
        address.wrapping_sub(self.map.start + i * self.size) < self.size
    }
}

impl Mapping {
    /// Maps `length` bytes, rounded up to whole pages.
    pub(crate) fn new(length: usize) -> std::io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let length = length.next_multiple_of(PAGE);
        let whole = length + 2 * PAGE;
        // SAFETY: a fresh anonymous mapping at an address of the system's choice.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), whole, libc::PROT_NONE, flags, -1, 0) };
        if map == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        let mapping = Self { start: map as usize + PAGE, length };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the range lies inside the mapping.
        match unsafe { libc::mprotect(mapping.start as *mut _, length, access) } {
            0 => Ok(mapping),
            _ => Err(std::io::Error::last_os_error()),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `new` mapped this range, and its owner is the only one who hands it out.
        unsafe { libc::munmap((self.start - PAGE) as *mut _, self.length + 2 * PAGE) };
    }
}
