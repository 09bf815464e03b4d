//! Work that was captured once, as a graph, and is launched as a whole.

use std::sync::Arc;

use cudarc::driver::{CudaContext, result, sys};

use super::device::Device;
use super::driver::During;
use super::stream::{Needed, Stream};
use super::{Cuda, Launches};
use crate::backend::Record;
use crate::{Error, Result};

/// Launches, copies and fills of a stream that [`Record::replay`] asks for again.
///
/// It keeps the memory and the kernels that they use, whatever becomes of the tensors.
pub struct Recording {
    executable: sys::CUgraphExec,
    stream: Arc<Stream>,
    /// Has the kernels.
    _device: Arc<Device>,
    _needed: Vec<Needed>,
}

// SAFETY: the handle may be used by any thread, one at a time, which a type without `Sync` sees to.
unsafe impl Send for Recording {}

impl Record for Cuda {
    type Recording = Recording;

    /// Other threads must leave the stream alone meanwhile: what they ask of it is recorded too.
    fn record(&self, work: impl FnOnce() -> Result<()>) -> Result<Option<Recording>> {
        let capture = Capture::begin(&self.device.context, &self.stream)?;
        let outcome = work();
        let (graph, needed) = capture.end();
        outcome?;
        let graph = graph?;
        // SAFETY: the graph was captured just now.
        let executable =
            unsafe { result::graph::instantiate(graph.0, sys::CUgraphInstantiate_flags(0)) }
                .during("cuGraphInstantiate")?;
        let (stream, device) = (Arc::clone(&self.stream), Arc::clone(&self.device));
        Ok(Some(Recording { executable, stream, _device: device, _needed: needed }))
    }

    fn replay(&self, recording: &Recording) -> Result<()> {
        self.check_stream(recording.stream.handle())?;
        self.device.context.bind_to_thread().during("cuCtxSetCurrent")?;
        // SAFETY: the executable graph lives as long as the recording, as does everything that its
        // nodes use; no other thread has the recording.
        unsafe { result::graph::launch(recording.executable, self.stream.handle()) }
            .during("cuGraphLaunch")?;
        match self.launches {
            Launches::Awaited if !self.stream.is_recorded() => self.stream.synchronize(),
            _ => Ok(()),
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let context = self.stream.inner().context();
        context.record_err(context.bind_to_thread());
        context.record_err(self.stream.inner().synchronize());
        // SAFETY: nobody else has the executable graph, and its launches are over.
        context.record_err(unsafe { result::graph::exec_destroy(self.executable) });
    }
}

/// A capture of a stream, which ends with the value at the latest.
struct Capture<'a> {
    context: &'a Arc<CudaContext>,
    stream: &'a Stream,
    ended: bool,
}

impl<'a> Capture<'a> {
    fn begin(context: &'a Arc<CudaContext>, stream: &'a Stream) -> Result<Self> {
        stream.unrecorded("a recording")?;
        // What children do in other threads beside is none of this capture's business.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        let begun = stream.inner().begin_capture(mode);
        begun.during("cuStreamBeginCapture")?;
        stream.begin_recording();
        Ok(Capture { context, stream, ended: false })
    }

    fn end(mut self) -> (Result<Graph<'a>>, Vec<Needed>) {
        self.finish()
    }

    fn finish(&mut self) -> (Result<Graph<'a>>, Vec<Needed>) {
        self.ended = true;
        let needed = self.stream.end_recording();
        let bound = self.context.bind_to_thread().during("cuCtxSetCurrent");
        // SAFETY: the stream is alive and its capture was begun by this thread.
        let graph = unsafe { result::stream::end_capture(self.stream.handle()) };
        let graph = bound.and_then(|()| graph.during("cuStreamEndCapture"));
        let graph = graph.and_then(|graph| match graph.is_null() {
            true => Err(Error::NotRecordable { what: "what broke the capture off" }),
            false => Ok(Graph(graph, self.context)),
        });
        (graph, needed)
    }
}

impl Drop for Capture<'_> {
    /// After a panic of what was recorded.
    fn drop(&mut self) {
        if !self.ended {
            drop(self.finish());
        }
    }
}

/// A captured graph, which an executable one is made of.
struct Graph<'a>(sys::CUgraph, &'a CudaContext);

impl Drop for Graph<'_> {
    fn drop(&mut self) {
        // SAFETY: nobody else has the graph; executable graphs are copies.
        self.1.record_err(unsafe { result::graph::destroy(self.0) });
    }
}
