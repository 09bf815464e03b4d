//! Device memory: host pages between guard pages, filled with 0xff when allocated, which reads as
//! NaN in every float format. Freed address ranges stay inaccessible for a while, so that a use
//! after free faults.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Who may use an allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Memory of the device of that index.
    Device(usize),
    /// Memory that every device and the host may use, charged to the device of that index.
    Managed(usize),
    /// Page-locked memory of the host.
    Pinned,
}

/// An allocation, as found by an address in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) start: usize,
    pub(crate) size: usize,
    pub(crate) kind: Kind,
}

/// Why an address could not be freed.
#[derive(Debug)]
pub(crate) enum FreeError {
    /// No allocation starts there.
    Unknown,
    /// A kernel wrote behind the buffer; the text says how far.
    Overrun(String),
}

/// The memory of all devices.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Bytes a device has.
    pub(crate) capacity: usize,
    table: RwLock<Table>,
}

#[derive(Debug)]
struct Table {
    live: BTreeMap<usize, Allocation>,
    /// Variables of modules: `__device__` and `__constant__`.
    variables: BTreeMap<usize, usize>,
    /// Freed buffers, oldest first, whose addresses are still reserved.
    freed: VecDeque<(usize, Allocation)>,
    used: Vec<usize>,
    peak: Vec<usize>,
    /// Allocations that still succeed before all fail.
    fail_after: usize,
}

#[derive(Clone, Copy, Debug)]
struct Allocation {
    size: usize,
    kind: Kind,
    /// The mapping: first guard page to last.
    map: (usize, usize),
}

/// What buffers and variables contain.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// By address.
    contents: Vec<(usize, Vec<u8>)>,
}

pub(crate) const PAGE: usize = 4096;
const ALIGNMENT: usize = 256;
const FREED_RANGES: usize = 1024;
const UNWRITTEN: u8 = 0xff;

impl Memory {
    pub(crate) fn new(devices: usize, capacity: usize) -> Self {
        let table = Table {
            live: BTreeMap::new(),
            variables: BTreeMap::new(),
            freed: VecDeque::new(),
            used: vec![0; devices],
            peak: vec![0; devices],
            fail_after: usize::MAX,
        };
        Self { capacity, table: RwLock::new(table) }
    }

    /// A fresh buffer, or none when the device is full or a failure was asked for.
    pub(crate) fn allocate(&self, size: usize, kind: Kind) -> Option<usize> {
        let body = size.max(1).checked_next_multiple_of(ALIGNMENT)?;
        let mut table = self.write();
        if let Kind::Device(device) | Kind::Managed(device) = kind {
            if table.fail_after == 0 || body > self.capacity - table.used[device] {
                return None;
            }
            if table.fail_after != usize::MAX {
                table.fail_after -= 1;
            }
        }
        // The buffer ends at a guard page, up to its alignment, and another precedes it.
        let length = body.checked_next_multiple_of(PAGE)?.checked_add(2 * PAGE)?;
        // SAFETY: an anonymous mapping at an address of the system's choice touches no memory of
        // ours, and only its inner part is opened and filled.
        let map = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            let map = libc::mmap(std::ptr::null_mut(), length, libc::PROT_NONE, flags, -1, 0);
            if map == libc::MAP_FAILED {
                return None;
            }
            let inner = map.cast::<u8>().add(PAGE);
            let access = libc::PROT_READ | libc::PROT_WRITE;
            if libc::mprotect(inner.cast(), length - 2 * PAGE, access) != 0 {
                libc::munmap(map, length);
                return None;
            }
            if kind != Kind::Pinned {
                inner.write_bytes(UNWRITTEN, length - 2 * PAGE);
            }
            map as usize
        };
        let start = map + length - PAGE - body;
        if let Kind::Device(device) | Kind::Managed(device) = kind {
            table.used[device] += body;
            table.peak[device] = table.peak[device].max(table.used[device]);
        }
        table.live.insert(start, Allocation { size, kind, map: (map, length) });
        Some(start)
    }

    /// Gives a buffer back; its bytes up to the guard page must be as they were allocated.
    pub(crate) fn free(&self, start: usize) -> Result<(), FreeError> {
        let mut table = self.write();
        let freed = table.live.remove(&start).ok_or(FreeError::Unknown)?;
        let mut overrun = None;
        if let Kind::Device(device) | Kind::Managed(device) = freed.kind {
            table.used[device] -= freed.size.max(1).next_multiple_of(ALIGNMENT);
            let end = freed.map.0 + freed.map.1 - PAGE;
            let slack = end - start - freed.size;
            // SAFETY: the bytes between the buffer's end and the guard page belong to the mapping,
            // which nobody else unmaps; the lock keeps other frees away.
            let slack =
                unsafe { std::slice::from_raw_parts((start + freed.size) as *const u8, slack) };
            overrun = slack.iter().position(|byte| *byte != UNWRITTEN);
        }
        reserve_again(freed.map);
        table.freed.push_back((start, freed));
        if table.freed.len() > FREED_RANGES
            && let Some((_, oldest)) = table.freed.pop_front()
        {
            // SAFETY: the range was mapped by `allocate` and is used by nobody.
            unsafe { libc::munmap(oldest.map.0 as *mut _, oldest.map.1) };
        }
        match overrun {
            None => Ok(()),
            Some(byte) => Err(FreeError::Overrun(format!(
                "something wrote past the end of a buffer of {} bytes: byte {byte} after it had \
                 changed when it was freed",
                freed.size
            ))),
        }
    }

    /// The allocation or module variable that contains the whole range.
    pub(crate) fn find(&self, address: usize, length: usize) -> Option<Found> {
        let table = self.read();
        let fits = |start: usize, size: usize| length <= size && address - start <= size - length;
        if let Some((&start, a)) = table.live.range(..=address).next_back()
            && fits(start, a.size)
        {
            return Some(Found { start, size: a.size, kind: a.kind });
        }
        let (&start, &size) = table.variables.range(..=address).next_back()?;
        fits(start, size).then_some(Found { start, size, kind: Kind::Managed(0) })
    }

    /// Declares a variable of a module as device memory.
    pub(crate) fn add_variable(&self, start: usize, size: usize) {
        self.write().variables.insert(start, size);
    }

    /// Forgets the variables of a module that is unloaded from these addresses.
    pub(crate) fn forget_variables(&self, addresses: Range<usize>) {
        self.write().variables.retain(|start, _| !addresses.contains(start));
    }

    /// Bytes in use on a device, now and at most so far.
    pub(crate) fn used(&self, device: usize) -> (usize, usize) {
        let table = self.read();
        (table.used[device], table.peak[device])
    }

    /// What a kernel on a device may write now, which must not run meanwhile.
    pub(crate) fn snapshot(&self, device: usize) -> Snapshot {
        let table = self.read();
        let of_device = |kind| matches!(kind, Kind::Device(on) | Kind::Managed(on) if on == device);
        let buffers =
            table.live.iter().filter(|(_, a)| of_device(a.kind)).map(|(s, a)| (s, a.size));
        let places = buffers.chain(table.variables.iter().map(|(start, &size)| (start, size)));
        // SAFETY: what is live cannot be freed under the lock, and nothing writes to it.
        let bytes = |start, size| unsafe { std::slice::from_raw_parts(start as *const u8, size) };
        let contents = places.map(|(&start, size)| (start, bytes(start, size).to_vec())).collect();
        Snapshot { contents }
    }

    /// Writes back what a snapshot has of what is still live.
    pub(crate) fn restore(&self, snapshot: &Snapshot) {
        let table = self.read();
        for (start, bytes) in table.live_of(snapshot) {
            // SAFETY: as in `snapshot`; no kernel and no copy runs that would read it.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), start as *mut u8, bytes.len()) };
        }
    }

    /// The first byte of what is still live that is not as in a snapshot, in words.
    pub(crate) fn difference(&self, snapshot: &Snapshot) -> Option<String> {
        let table = self.read();
        table.live_of(snapshot).find_map(|(start, bytes)| {
            // SAFETY: as in `snapshot`.
            let now = unsafe { std::slice::from_raw_parts(start as *const u8, bytes.len()) };
            let byte = now.iter().zip(bytes).position(|(now, then)| now != then)?;
            Some(format!("byte {byte} of a buffer of {} bytes differs", bytes.len()))
        })
    }

    /// Lets `after` more allocations of device memory succeed, then none.
    pub(crate) fn fail_after(&self, after: usize) {
        self.write().fail_after = after;
    }

    /// Where an address lies, in words.
    pub(crate) fn describe(&self, address: usize) -> Option<String> {
        const NEAR: usize = 1 << 16;
        let table = self.read();
        let below = table.live.range(..=address).next_back();
        let below = below.map(|(&start, a)| (address - start, a.size));
        if let Some((offset, size)) = below.filter(|(offset, size)| offset < size) {
            return Some(format!("{offset} bytes into a live buffer of {size} bytes"));
        }
        let within =
            |&&(start, a): &&(usize, Allocation)| address >= start && address - start < a.size;
        if let Some((start, a)) = table.freed.iter().rev().find(within) {
            let offset = address - start;
            return Some(format!("{offset} bytes into a freed buffer of {} bytes", a.size));
        }
        let past = below.map(|(offset, size)| (offset - size, "past the end of", size));
        let above = table.live.range(address..).next();
        let before = above.map(|(&start, a)| (start - address, "before", a.size));
        let (distance, side, size) = past.into_iter().chain(before).min()?;
        (distance < NEAR).then(|| format!("{distance} bytes {side} a buffer of {size} bytes"))
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// The contents in a snapshot of what is still there: freed addresses are not used again soon.
    fn live_of<'a>(&self, snapshot: &'a Snapshot) -> impl Iterator<Item = (usize, &'a [u8])> {
        let size = |start| self.live.get(start).map(|a| &a.size).or(self.variables.get(start));
        let contents = snapshot.contents.iter();
        contents
            .filter(move |(start, bytes)| size(start) == Some(&bytes.len()))
            .map(|(start, bytes)| (*start, &bytes[..]))
    }
}

/// Drops the pages of a mapping and keeps its addresses, without access.
fn reserve_again((start, length): (usize, usize)) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
    // SAFETY: the range is one that `allocate` mapped and that nobody may use any more.
    unsafe { libc::mmap(start as *mut _, length, libc::PROT_NONE, flags, -1, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_charged_found_and_given_back() {
        let memory = Memory::new(2, 4096);
        let a = memory.allocate(1000, Kind::Device(0)).expect("fits");
        assert_eq!(memory.used(0), (1024, 1024));
        assert_eq!(memory.used(1), (0, 0));
        assert!(memory.allocate(3073, Kind::Device(0)).is_none(), "only 3072 bytes are left");
        let b = memory.allocate(3072, Kind::Device(0)).expect("fits exactly");
        assert_eq!(memory.find(a + 999, 1).map(|f| f.start), Some(a));
        assert!(memory.find(a + 999, 2).is_none());
        assert!(memory.free(b).is_ok());
        assert!(memory.free(a).is_ok());
        assert!(matches!(memory.free(a), Err(FreeError::Unknown)));
        assert_eq!(memory.used(0), (0, 4096));
        assert_eq!(
            memory.describe(a + 8).as_deref(),
            Some("8 bytes into a freed buffer of 1000 bytes")
        );
    }

    #[test]
    fn a_byte_behind_the_buffer_is_noticed_when_it_is_freed() {
        let memory = Memory::new(1, 4096);
        let a = memory.allocate(1000, Kind::Device(0)).expect("fits");
        // SAFETY: the 24 bytes up to the guard page are mapped; writing them is the error under test.
        unsafe { ((a + 1003) as *mut u8).write(0) };
        match memory.free(a) {
            Err(FreeError::Overrun(text)) => assert!(text.contains("byte 3 after"), "{text}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn allocations_fail_on_demand() {
        let memory = Memory::new(1, 1 << 20);
        memory.fail_after(1);
        assert!(memory.allocate(1, Kind::Device(0)).is_some());
        assert!(memory.allocate(1, Kind::Device(0)).is_none());
        assert!(
            memory.allocate(1, Kind::Pinned).is_some(),
            "memory of the host is not the device's"
        );
        memory.fail_after(usize::MAX);
        assert!(memory.allocate(1, Kind::Device(0)).is_some());
    }
}
