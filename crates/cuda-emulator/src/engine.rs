//! Streams and events. One thread executes what lies at the heads of the streams; driver calls only
//! enqueue and wait. Work is therefore asynchronous to the host, and an error of a kernel surfaces
//! in a later call, as on a device.

use crate::Error;
use crate::capture::{Capture, Graph};
use crate::emulator::{Emulator, emulator};
use crate::exec::{self, Failure, Grid};
use crate::memory::FreeError;
use crate::module::{Function, Module};
use crate::options::{Options, Order};
use crate::records::Launch;
use crate::status::{Res, Status};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// A point in a stream that others wait for.
#[derive(Debug, Default)]
pub(crate) struct Marker {
    reached: AtomicBool,
    time: OnceLock<Instant>,
}

/// A piece of work.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// Copies `length` bytes; the ranges were checked.
    Copy {
        to: usize,
        from: usize,
        length: usize,
    },
    /// Copies bytes that were staged when the call was made.
    Write {
        to: usize,
        bytes: Arc<[u8]>,
    },
    /// Repeats a value of `width` bytes.
    Fill {
        to: usize,
        value: u32,
        width: usize,
        count: usize,
    },
    Launch(Arc<Grid>),
    Record(Arc<Marker>),
    Wait(Arc<Marker>),
    /// Calls a function of the host with an argument.
    Call(unsafe extern "C" fn(*mut c_void), usize),
    Free(usize),
    Graph(Arc<Graph>),
}

/// Work in the order of its issue.
#[derive(Debug)]
pub(crate) struct Stream {
    queue: VecDeque<(u64, Work)>,
    pub(crate) device: usize,
    kind: StreamKind,
    /// The capture that this stream takes part in.
    pub(crate) capture: Option<u64>,
    /// Destroyed by the host; goes when it is empty.
    closed: bool,
}

/// How a stream is ordered with the legacy default stream of its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// The legacy default stream itself.
    Legacy,
    /// Work of this stream and of the default stream is executed in the order of issue.
    Blocking,
    /// Independent of the default stream.
    NonBlocking,
}

/// An event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) state: EventState,
    pub(crate) timed: bool,
}

/// Where an event was recorded last.
#[derive(Debug, Clone)]
pub(crate) enum EventState {
    Empty,
    Recorded(Arc<Marker>),
    /// In a capture, after these nodes.
    Captured {
        capture: u64,
        nodes: Vec<usize>,
    },
}

/// Everything that handles stand for.
#[derive(Debug)]
pub(crate) struct State {
    sequence: u64,
    next_handle: usize,
    pub(crate) streams: BTreeMap<usize, Stream>,
    pub(crate) events: HashMap<usize, Event>,
    pub(crate) captures: HashMap<u64, Capture>,
    pub(crate) graphs: HashMap<usize, Arc<Graph>>,
    pub(crate) modules: HashMap<usize, Arc<Module>>,
    pub(crate) functions: HashMap<usize, Arc<Function>>,
    /// The error after which a device's context is of no more use.
    pub(crate) errors: Vec<Option<Status>>,
}

/// Streams, and the thread that executes them.
#[derive(Debug)]
pub(crate) struct Engine {
    state: Mutex<State>,
    work: Condvar,
    done: Condvar,
}

/// Handles below are those of default streams, three a device: legacy, (1) legacy by its constant,
/// (2) the thread's own.
const FIRST_HANDLE: usize = 0x1000;

/// The key of the stream that a host means by a handle while a device is current.
pub(crate) fn stream_key(handle: usize, device: usize) -> usize {
    match handle {
        0 | 1 => 3 * device,
        2 => 3 * device + 2,
        _ => handle,
    }
}

impl Marker {
    pub(crate) fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Acquire)
    }

    /// When it was reached.
    pub(crate) fn time(&self) -> Option<Instant> {
        self.time.get().copied()
    }

    fn reach(&self) {
        self.time.get_or_init(Instant::now);
        self.reached.store(true, Ordering::Release);
    }
}

impl Stream {
    pub(crate) fn new(device: usize, kind: StreamKind) -> Self {
        Self { queue: VecDeque::new(), device, kind, capture: None, closed: false }
    }

    /// Whether all its work is done.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }
}

impl State {
    /// A number that was never given out before.
    pub(crate) fn handle(&mut self) -> usize {
        self.next_handle += 16;
        self.next_handle
    }

    /// The open stream of that key.
    pub(crate) fn stream(&mut self, key: usize) -> Res<&mut Stream> {
        let stream = self.streams.get_mut(&key).filter(|stream| !stream.closed);
        stream.ok_or(Status::INVALID_HANDLE)
    }

    /// Enqueues work, or adds it to the graph that the stream is being captured into.
    pub(crate) fn push(&mut self, key: usize, work: Work) -> Res {
        let device = self.stream(key)?.device;
        if let Some(status) = self.errors[device] {
            return Err(status);
        }
        if let Some(capture) = self.capture_of(key)? {
            return capture.add(key, work);
        }
        self.sequence += 1;
        let entry = (self.sequence, work);
        self.stream(key)?.queue.push_back(entry);
        emulator().engine.work.notify_one();
        Ok(())
    }

    /// Puts a marker behind everything enqueued on a stream so far.
    pub(crate) fn mark(&mut self, key: usize) -> Res<Arc<Marker>> {
        let marker = Arc::new(Marker::default());
        self.push(key, Work::Record(marker.clone()))?;
        Ok(marker)
    }

    /// Destroys a stream as soon as its work is done.
    pub(crate) fn close(&mut self, key: usize) -> Res {
        let stream = self.stream(key)?;
        stream.closed = true;
        if stream.queue.is_empty() {
            self.streams.remove(&key);
        }
        Ok(())
    }

    /// The streams whose heads can be executed, by time of issue.
    fn ready(&self) -> Vec<(u64, usize)> {
        let head = |stream: &Stream| stream.queue.front().map(|(issued, _)| *issued);
        let mut ready = Vec::new();
        for (&key, stream) in &self.streams {
            let Some((issued, work)) = stream.queue.front() else { continue };
            if let Work::Wait(marker) = work
                && !marker.is_reached()
            {
                continue;
            }
            let earlier = |kind| {
                self.streams.values().any(|other| {
                    other.device == stream.device
                        && other.kind == kind
                        && head(other).is_some_and(|other| other < *issued)
                })
            };
            let held = match stream.kind {
                StreamKind::Legacy => earlier(StreamKind::Blocking),
                StreamKind::Blocking => earlier(StreamKind::Legacy),
                StreamKind::NonBlocking => false,
            };
            if !held {
                ready.push((*issued, key));
            }
        }
        ready.sort_unstable();
        ready
    }
}

impl Engine {
    pub(crate) fn new(options: &Options) -> Self {
        let mut streams = BTreeMap::new();
        for device in 0..options.devices {
            streams.insert(stream_key(0, device), Stream::new(device, StreamKind::Legacy));
            streams.insert(stream_key(2, device), Stream::new(device, StreamKind::Blocking));
        }
        let state = State {
            sequence: 0,
            next_handle: FIRST_HANDLE,
            streams,
            events: HashMap::new(),
            captures: HashMap::new(),
            graphs: HashMap::new(),
            modules: HashMap::new(),
            functions: HashMap::new(),
            errors: vec![None; options.devices],
        };
        Self { state: Mutex::new(state), work: Condvar::new(), done: Condvar::new() }
    }

    /// Starts the thread of an emulator, whose engine this is.
    pub(crate) fn start(&'static self, emulator: &'static Emulator) -> Result<(), Error> {
        let thread = std::thread::Builder::new().name("emulated-gpu".into());
        let started = thread.spawn(|| self.run(emulator));
        started.map(drop).map_err(|error| Error::Thread(error.to_string()))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for everything enqueued on a stream so far.
    pub(crate) fn synchronize(&self, key: usize) -> Res {
        let mut state = self.lock();
        let device = state.stream(key)?.device;
        if let Some(capture) = state.capture_of(key)? {
            capture.invalidate();
            return Err(Status::STREAM_CAPTURE_UNSUPPORTED);
        }
        let marker = state.mark(key)?;
        drop(state);
        self.wait(&marker, device)
    }

    /// Waits for everything enqueued on a device so far.
    pub(crate) fn synchronize_device(&self, device: usize) -> Res {
        let mut state = self.lock();
        let keys = state.streams.iter().filter(|(_, stream)| stream.device == device);
        let keys: Vec<usize> =
            keys.filter(|(_, s)| s.capture.is_none() && !s.closed).map(|(key, _)| *key).collect();
        let markers: Vec<_> = keys.into_iter().map(|key| state.mark(key)).collect::<Res<_>>()?;
        drop(state);
        markers.iter().try_for_each(|marker| self.wait(marker, device))
    }

    /// Waits for a marker, or until the device fails.
    pub(crate) fn wait(&self, marker: &Marker, device: usize) -> Res {
        let mut state = self.lock();
        loop {
            if let Some(status) = state.errors[device] {
                return Err(status);
            }
            if marker.is_reached() {
                return Ok(());
            }
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn run(&self, emulator: &Emulator) {
        let mut random = match emulator.options.stream_order {
            Order::Ascending => None,
            Order::Shuffled(seed) => Some(Shuffle::new(seed)),
        };
        let mut state = self.lock();
        loop {
            let ready = state.ready();
            if ready.is_empty() {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (_, key) = ready[random.as_mut().map_or(0, |random| random.below(ready.len()))];
            let stream = &state.streams[&key];
            let device = stream.device;
            // It stays at the head while it runs, so that the stream is not taken for idle.
            let Some((_, work)) = stream.queue.front().cloned() else { continue };
            let failed = state.errors[device].is_some();
            drop(state);
            let result = match (failed, &work) {
                (true, Work::Record(_) | Work::Free(_)) | (false, _) => {
                    execute(emulator, &work, &mut random)
                }
                (true, _) => Ok(()),
            };
            state = self.lock();
            if let Err(failure) = result {
                state.errors[device].get_or_insert(failure.status);
                emulator.report(failure);
            }
            if let Some(stream) = state.streams.get_mut(&key) {
                stream.queue.pop_front();
                if stream.closed && stream.queue.is_empty() {
                    state.streams.remove(&key);
                }
            }
            self.done.notify_all();
        }
    }
}

/// A source of orders: xorshift.
#[derive(Debug)]
pub(crate) struct Shuffle(u64);

impl Shuffle {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }
}

fn execute(emulator: &Emulator, work: &Work, random: &mut Option<Shuffle>) -> Result<(), Failure> {
    match work {
        Work::Launch(grid) => return launch(emulator, grid),
        Work::Record(marker) => marker.reach(),
        Work::Wait(_) => {}
        Work::Graph(graph) => {
            for node in graph.order(random) {
                execute(emulator, node, random)?;
            }
        }
        Work::Free(start) => {
            if let Err(FreeError::Overrun(text)) = emulator.memory.free(*start) {
                return Err(Failure { status: Status::ILLEGAL_ADDRESS, kernel: None, text });
            }
        }
        // SAFETY: device ranges were found in live allocations when the call was made, and a buffer
        // is freed in stream order or after the host waited. Host ranges and the function are the
        // caller's promise to the driver.
        _ => unsafe { touch(work) },
    }
    Ok(())
}

/// Executes work on plain memory of the host.
///
/// # Safety
/// The addresses in the work are valid.
unsafe fn touch(work: &Work) {
    // SAFETY: by contract; a buffer's alignment is that of the API, checked by the call.
    unsafe {
        match work {
            Work::Copy { to, from, length } => {
                std::ptr::copy(*from as *const u8, *to as *mut u8, *length);
            }
            Work::Write { to, bytes } => {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), *to as *mut u8, bytes.len());
            }
            Work::Fill { to, value, width: 1, count } => {
                (*to as *mut u8).write_bytes(*value as u8, *count);
            }
            Work::Fill { to, value, width: 2, count } => {
                std::slice::from_raw_parts_mut(*to as *mut u16, *count).fill(*value as u16);
            }
            Work::Fill { to, value, width: _, count } => {
                std::slice::from_raw_parts_mut(*to as *mut u32, *count).fill(*value);
            }
            Work::Call(function, argument) => function(*argument as *mut c_void),
            _ => {}
        }
    }
}

fn launch(emulator: &Emulator, grid: &Grid) -> Result<(), Failure> {
    let function = &grid.function;
    if let Some(status) = emulator.ordered_failure(&function.name, true) {
        let text = format!("kernel {} fails as ordered by the test", function.name);
        return Err(Failure { status, kernel: Some(function.name.clone()), text });
    }
    let counters = exec::run(grid)?;
    emulator.record(Launch {
        kernel: function.name.clone(),
        module: function.module.name.clone(),
        device: grid.device,
        grid: grid.grid,
        block: grid.block,
        shared: grid.shared,
        counters: emulator.options.count.then_some(counters),
    });
    Ok(())
}
