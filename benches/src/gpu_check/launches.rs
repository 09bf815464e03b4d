use std::sync::Arc;

use cudarc::driver::sys::{
    self, CUfunction, CUgraphInstantiate_flags, CUlaunchAttribute, CUlaunchAttributeID,
    CUlaunchAttributeValue, CUlaunchConfig, CUmodule, CUstreamCaptureMode,
};
use cudarc::driver::{CudaContext, CudaGraph, CudaStream, DriverError, result};
use nasrl_tensor::cuda::compile;
use serde::Serialize;

use super::{Block, Check, CheckError, Timing};

pub(super) const SOURCE: &str = include_str!("launches.cu");

/// What [`launches`] measures.
#[derive(Clone, Debug)]
pub struct LaunchSizes {
    /// Kernels that follow one another.
    pub chains: Vec<usize>,
    /// Forks of a graph, each of which is joined before the next.
    pub forks: Vec<usize>,
}

#[derive(Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Launched {
    /// Kernels one after another, each a call of the driver.
    Stream { kernels: usize, us_per_kernel: f64, timing: Timing },
    /// The same as a graph, which is launched as a whole.
    Graph { kernels: usize, us_per_kernel: f64, timing: Timing },
    /// A graph of kernels that are scheduled before the ones in front of them end, for which they then
    /// wait; on GPUs before sm_90 they are none.
    DependentGraph { kernels: usize, us_per_kernel: f64, timing: Timing },
    /// A graph of kernels in turn alone and two side by side on two streams; how much longer than
    /// the chain of as many turns it takes.
    Fork { forks: usize, us_per_fork: f64, timing: Timing },
}

/// Measures launches of a kernel that does nothing, through the driver alone.
///
/// # Errors
/// [`CheckError::Device`], [`CheckError::Driver`] and [`CheckError::Report`].
pub fn launches(check: &mut Check<'_>) -> Result<(), CheckError> {
    let streams = Streams::new(check.ordinal)?;
    let sizes = check.sizes.launches.clone();
    for kernels in sizes.chains {
        if check.budget.is_over() {
            return Ok(());
        }
        let in_turn = || (0..kernels).try_for_each(|_| streams.kernel(&streams.main));
        let timing = streams.time(check, in_turn)?;
        let us_per_kernel = timing.median_us / kernels.max(1) as f64;
        let line = Launched::Stream { kernels, us_per_kernel, timing };
        check.report.line(Block::Launches, &line)?;
        let timing = streams.time_graph(check, in_turn)?;
        let us_per_kernel = timing.median_us / kernels.max(1) as f64;
        let line = Launched::Graph { kernels, us_per_kernel, timing };
        check.report.line(Block::Launches, &line)?;
        if streams.dependent.is_some() {
            let timing =
                streams.time_graph(check, || (0..kernels).try_for_each(|_| streams.dependent()))?;
            let us_per_kernel = timing.median_us / kernels.max(1) as f64;
            let line = Launched::DependentGraph { kernels, us_per_kernel, timing };
            check.report.line(Block::Launches, &line)?;
        }
    }
    for forks in sizes.forks {
        if check.budget.is_over() {
            return Ok(());
        }
        let turns = 2 * forks;
        let chain = streams
            .time_graph(check, || (0..turns).try_for_each(|_| streams.kernel(&streams.main)))?;
        let timing = streams.time_graph(check, || (0..forks).try_for_each(|_| streams.fork()))?;
        let us_per_fork = (timing.median_us - chain.median_us) / forks.max(1) as f64;
        check.report.line(Block::Launches, &Launched::Fork { forks, us_per_fork, timing })?;
    }
    Ok(())
}

/// Two streams of their own, of which the second takes part in captures of the first.
struct Streams {
    main: Arc<CudaStream>,
    side: Arc<CudaStream>,
    module: CUmodule,
    empty: CUfunction,
    /// None where the GPU knows no such launches.
    dependent: Option<CUfunction>,
}

impl Streams {
    fn new(ordinal: usize) -> Result<Self, CheckError> {
        let context = CudaContext::new(ordinal)?;
        // SAFETY: there are no buffers, whose uses events would order.
        unsafe { context.disable_event_tracking() };
        let (main, side) = (context.new_stream()?, context.new_stream()?);
        let (major, minor) = context.compute_capability()?;
        let cubin = compile("launches.cu", SOURCE, &format!("sm_{major}{minor}"))?.cubin;
        // SAFETY: the bytes are an image that NVRTC made, which the driver copies to the context
        // that is bound.
        let module = unsafe { result::module::load_data(cubin.as_ptr().cast()) }?;
        // SAFETY: the module was loaded just now.
        let empty = unsafe { result::module::get_function(module, c"empty".into()) }?;
        let dependent = match major {
            // SAFETY: as above.
            9.. => Some(unsafe { result::module::get_function(module, c"dependent".into()) }?),
            _ => None,
        };
        Ok(Streams { main, side, module, empty, dependent })
    }

    fn kernel(&self, stream: &CudaStream) -> Result<(), DriverError> {
        let (block, warp, on) = ((1, 1, 1), (32, 1, 1), stream.cu_stream());
        stream.context().bind_to_thread()?;
        // SAFETY: the function is of a module that is loaded; it takes nothing and touches nothing.
        unsafe { result::launch_kernel(self.empty, block, warp, 0, on, &mut []) }
    }

    /// A kernel that may be scheduled before the one in front of it has ended.
    fn dependent(&self) -> Result<(), DriverError> {
        let Some(kernel) = self.dependent else { return Ok(()) };
        let allowed = CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 };
        let mut attribute = CUlaunchAttribute {
            id: CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: Default::default(),
            value: allowed,
        };
        let configuration = CUlaunchConfig {
            gridDimX: 1,
            gridDimY: 1,
            gridDimZ: 1,
            blockDimX: 32,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: 0,
            hStream: self.main.cu_stream(),
            attrs: &raw mut attribute,
            numAttrs: 1,
        };
        self.main.context().bind_to_thread()?;
        let none = std::ptr::null_mut();
        // SAFETY: the function is of a module that is loaded, takes nothing and touches nothing; the
        // configuration and its one attribute live to the end of the call.
        unsafe { sys::cuLaunchKernelEx(&raw const configuration, kernel, none, none) }.result()
    }

    /// A kernel alone, then one on each stream, before both of which and after both of which
    /// nothing else runs.
    fn fork(&self) -> Result<(), DriverError> {
        self.kernel(&self.main)?;
        self.side.wait(&self.main.record_event(None)?)?;
        self.kernel(&self.side)?;
        self.kernel(&self.main)?;
        self.main.wait(&self.side.record_event(None)?)
    }

    fn time(
        &self,
        check: &Check<'_>,
        run: impl FnMut() -> Result<(), DriverError>,
    ) -> Result<Timing, CheckError> {
        let wait = || self.main.synchronize();
        Ok(check.sizes.sampling.time(check.budget, run, wait)?)
    }

    fn time_graph(
        &self,
        check: &Check<'_>,
        work: impl FnOnce() -> Result<(), DriverError>,
    ) -> Result<Timing, CheckError> {
        match self.capture(work)? {
            Some(graph) => self.time(check, || graph.launch()),
            None => Err(CheckError::NoGraph),
        }
    }

    fn capture(
        &self,
        work: impl FnOnce() -> Result<(), DriverError>,
    ) -> Result<Option<CudaGraph>, DriverError> {
        self.main.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)?;
        let outcome = work();
        let graph = self.main.end_capture(CUgraphInstantiate_flags(0));
        outcome?;
        graph
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        let context = self.main.context();
        for stream in [&self.main, &self.side] {
            context.record_err(stream.synchronize());
        }
        // SAFETY: nobody else unloads the module, whose launches are over.
        context.record_err(unsafe { result::module::unload(self.module) });
    }
}
