//! Streams, events, functions of the host in a stream.

use super::ffi::Out;
use super::{api, device, initialized, stream};
use crate::capture::{CaptureStatus, Mode};
use crate::emulator::emulator;
use crate::engine::{Event, EventState, Stream, StreamKind, Work};
use crate::status::{Res, Status};
use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

const NON_BLOCKING: c_uint = 1;
const DISABLE_TIMING: c_uint = 2;

api! {
    fn cuStreamCreate(handle: Out<usize>, flags: c_uint) {
        handle.set(create(flags)?)
    }

    fn cuStreamCreateWithPriority(handle: Out<usize>, flags: c_uint, _priority: c_int) {
        handle.set(create(flags)?)
    }

    fn cuStreamDestroy_v2(handle: usize) {
        initialized()?;
        emulator().engine.lock().close(handle)
    }

    fn cuStreamSynchronize(handle: usize) {
        emulator().engine.synchronize(stream(handle)?.1)
    }

    fn cuStreamQuery(handle: usize) {
        let (_, key) = stream(handle)?;
        let mut state = emulator().engine.lock();
        if let Some(capture) = state.capture_of(key)? {
            capture.invalidate();
            return Err(Status::STREAM_CAPTURE_UNSUPPORTED);
        }
        if state.stream(key)?.is_idle() { Ok(()) } else { Err(Status::NOT_READY) }
    }

    fn cuStreamWaitEvent(handle: usize, event: usize, _flags: c_uint) {
        let (_, key) = stream(handle)?;
        emulator().engine.lock().wait_for(key, event)
    }

    fn cuLaunchHostFunc(
        handle: usize, function: Option<unsafe extern "C" fn(*mut c_void)>, argument: usize,
    ) {
        let (_, key) = stream(handle)?;
        let function = function.ok_or(Status::INVALID_VALUE)?;
        emulator().engine.lock().push(key, Work::Call(function, argument))
    }

    fn cuStreamBeginCapture_v2(handle: usize, mode: c_int) {
        let mode = match mode {
            0 => Mode::Global,
            1 => Mode::ThreadLocal,
            2 => Mode::Relaxed,
            _ => return Err(Status::INVALID_VALUE),
        };
        let (device, key) = stream(handle)?;
        // The legacy default stream cannot be captured.
        if key == crate::engine::stream_key(0, device) {
            return Err(Status::STREAM_CAPTURE_UNSUPPORTED);
        }
        emulator().engine.lock().begin_capture(key, mode)
    }

    fn cuStreamEndCapture(handle: usize, graph: Out<usize>) {
        let (_, key) = stream(handle)?;
        graph.set(0)?;
        let mut state = emulator().engine.lock();
        let captured = Arc::new(state.end_capture(key)?);
        let handle = state.handle();
        state.graphs.insert(handle, captured);
        graph.set(handle)
    }

    fn cuStreamIsCapturing(handle: usize, status: Out<c_int>) {
        let (_, key) = stream(handle)?;
        let capture: CaptureStatus = emulator().engine.lock().capture_status(key)?;
        status.set(capture as c_int)
    }

    fn cuEventCreate(event: Out<usize>, flags: c_uint) {
        device()?;
        let mut state = emulator().engine.lock();
        let handle = state.handle();
        let timed = flags & DISABLE_TIMING == 0;
        state.events.insert(handle, Event { state: EventState::Empty, timed });
        event.set(handle)
    }

    fn cuEventDestroy_v2(event: usize) {
        let mut state = emulator().engine.lock();
        state.events.remove(&event).map(drop).ok_or(Status::INVALID_HANDLE)
    }

    fn cuEventRecord(event: usize, handle: usize) {
        let (_, key) = stream(handle)?;
        emulator().engine.lock().record(event, key)
    }

    fn cuEventQuery(event: usize) {
        device()?;
        match state_of(event, Misuse::Invalidates)? {
            EventState::Recorded(marker) if !marker.is_reached() => Err(Status::NOT_READY),
            _ => Ok(()),
        }
    }

    fn cuEventSynchronize(event: usize) {
        let device = device()?;
        match state_of(event, Misuse::Invalidates)? {
            EventState::Recorded(marker) => emulator().engine.wait(&marker, device),
            _ => Ok(()),
        }
    }

    fn cuEventElapsedTime(milliseconds: Out<f32>, from: usize, to: usize) {
        milliseconds.set(elapsed(from, to)?)
    }

    fn cuEventElapsedTime_v2(milliseconds: Out<f32>, from: usize, to: usize) {
        milliseconds.set(elapsed(from, to)?)
    }
}

fn create(flags: c_uint) -> Res<usize> {
    let device = device()?;
    let kind = match flags & NON_BLOCKING {
        0 => StreamKind::Blocking,
        _ => StreamKind::NonBlocking,
    };
    let mut state = emulator().engine.lock();
    let handle = state.handle();
    state.streams.insert(handle, Stream::new(device, kind));
    Ok(handle)
}

/// What asking for an event of a capture does to the capture.
enum Misuse {
    Invalidates,
    Nothing,
}

fn state_of(event: usize, misuse: Misuse) -> Res<EventState> {
    let mut state = emulator().engine.lock();
    let found = state.events.get(&event).ok_or(Status::INVALID_HANDLE)?.state.clone();
    let EventState::Captured { capture, .. } = found else { return Ok(found) };
    if let (Misuse::Invalidates, Some(capture)) = (misuse, state.captures.get_mut(&capture)) {
        capture.invalidate();
    }
    Err(Status::CAPTURED_EVENT)
}

fn elapsed(from: usize, to: usize) -> Res<f32> {
    let time = |event| {
        let timed = emulator().engine.lock().events.get(&event).is_some_and(|event| event.timed);
        match state_of(event, Misuse::Nothing)? {
            EventState::Recorded(marker) if timed => marker.time().ok_or(Status::NOT_READY),
            _ => Err(Status::INVALID_HANDLE),
        }
    };
    let (from, to) = (time(from)?, time(to)?);
    Ok(to.saturating_duration_since(from).as_secs_f32() * 1e3)
}
