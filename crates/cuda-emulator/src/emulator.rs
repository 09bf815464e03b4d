//! The installed emulator: what all parts of it share.

use crate::cache::{self, Cache};
use crate::coverage::Unloaded;
use crate::engine::Engine;
use crate::exec::Failure;
use crate::memory::Memory;
use crate::module::image;
use crate::records::{FileCoverage, Kernel, Launch, Report};
use crate::status::Status;
use crate::{Error, Options, driver, nvrtc, trampoline};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The emulator of this process: what it executed, and faults to order.
#[derive(Debug)]
pub struct Emulator {
    pub(crate) options: Options,
    pub(crate) cache: Cache,
    /// The directory of the headers that stand in for the toolkit's.
    pub(crate) shim: PathBuf,
    /// Name and version of the compiler.
    pub(crate) compiler: String,
    pub(crate) machine_flags: Vec<&'static str>,
    pub(crate) memory: Memory,
    pub(crate) engine: Engine,
    pub(crate) pool: rayon::ThreadPool,
    pub(crate) unloaded: Unloaded,
    journal: Mutex<Journal>,
}

#[derive(Debug, Default)]
struct Journal {
    launches: Vec<Launch>,
    /// Executions by module and kernel.
    kernels: BTreeMap<(String, String), u64>,
    reports: Vec<Report>,
    /// Kernels whose next launch is to fail.
    failures: HashMap<String, Status>,
}

static EMULATOR: OnceLock<&'static Emulator> = OnceLock::new();
static INSTALL: Mutex<()> = Mutex::new(());

/// Makes this process use the emulator as its CUDA driver and NVRTC from the next call on; must
/// come before the first CUDA call. A second install with equal options gives the same emulator.
pub fn install(options: &Options) -> Result<&'static Emulator, Error> {
    let _one_at_a_time = INSTALL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(emulator) = EMULATOR.get() {
        return match emulator.options == *options {
            true => Ok(emulator),
            false => Err(Error::OtherOptions),
        };
    }
    check(options)?;
    let cache = Cache::open()?;
    let emulator: &Emulator = Box::leak(Box::new(Emulator::new(options, cache)?));
    trampoline::install(&emulator.cache, c"libcuda.so", &driver::symbols())?;
    trampoline::install(&emulator.cache, c"libnvrtc.so", &nvrtc::symbols())?;
    emulator.engine.start(emulator)?;
    Ok(EMULATOR.get_or_init(|| emulator))
}

/// The installed emulator. Every caller was reached through it.
pub(crate) fn emulator() -> &'static Emulator {
    EMULATOR.get().expect("driver functions are only found after `install`")
}

impl Emulator {
    /// Launches executed since the last [`Emulator::clear_launches`], in order of completion.
    pub fn launches(&self) -> Vec<Launch> {
        self.journal().launches.clone()
    }

    /// Forgets the launches recorded so far.
    pub fn clear_launches(&self) {
        self.journal().launches.clear();
    }

    /// Every kernel of every module that was compiled or loaded so far, by module and name, with
    /// the number of times it ran to its end.
    pub fn kernels(&self) -> Vec<Kernel> {
        let journal = self.journal();
        let kernel = |((module, kernel), executed): (&(String, String), &u64)| Kernel {
            module: module.clone(),
            kernel: kernel.clone(),
            executed: *executed,
        };
        journal.kernels.iter().map(kernel).collect()
    }

    /// How often each function of the driver was called so far, by name.
    pub fn calls(&self) -> BTreeMap<&'static str, u64> {
        driver::calls()
    }

    /// Explanations of all errors so far, oldest first.
    pub fn reports(&self) -> Vec<Report> {
        self.journal().reports.clone()
    }

    /// Which lines of which sources were executed so far by kernels that have ended; needs
    /// [`Options::coverage`], else there are none. Errors are those of running gcov.
    pub fn coverage(&self) -> Result<Vec<FileCoverage>, Error> {
        let state = self.engine.lock();
        let loaded = state.modules.values().filter_map(|module| module.line_counters()).collect();
        drop(state);
        self.unloaded.with(&self.cache, loaded)
    }

    /// Lets `after` more allocations of device memory succeed; those behind them fail with
    /// `CUDA_ERROR_OUT_OF_MEMORY` until `usize::MAX` is given.
    pub fn fail_allocations(&self, after: usize) {
        self.memory.fail_after(after);
    }

    /// Makes the next launch of `kernel` fail with a `CUresult`: when it is executed if that is an
    /// error of a running kernel (700 to 719), else when it is launched.
    pub fn fail_launch(&self, kernel: &str, status: u32) {
        self.journal().failures.insert(kernel.into(), Status(status));
    }

    fn new(options: &Options, cache: Cache) -> Result<Self, Error> {
        let output = cache::gxx(&std::env::temp_dir(), ["-dumpfullversion", "-dumpmachine"])
            .map_err(|source| Error::NoCompiler { source })?;
        let shim = nvrtc::write_shim(&cache)?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.workers)
            .thread_name(|i| format!("emulated-sm{i}"))
            .build()
            .map_err(|error| Error::Thread(error.to_string()))?;
        Ok(Self {
            options: options.clone(),
            shim,
            compiler: String::from_utf8_lossy(&output.stdout).trim().replace('\n', " "),
            machine_flags: image::machine_flags(),
            memory: Memory::new(options.devices, options.memory),
            engine: Engine::new(options),
            pool,
            cache,
            unloaded: Unloaded::default(),
            journal: Mutex::default(),
        })
    }

    /// Keeps an explanation, and writes it if the options say so.
    pub(crate) fn report(&self, failure: Failure) {
        if self.options.print {
            // Nothing can be done about a closed standard error.
            let _ = writeln!(std::io::stderr(), "CUDA emulator: {}", failure.text);
        }
        let Failure { status: Status(status), kernel, text } = failure;
        self.journal().reports.push(Report { status, kernel, text });
    }

    /// Keeps an explanation of an error of a driver call, and gives the error.
    pub(crate) fn refuse(&self, status: Status, text: String) -> Status {
        self.report(Failure { status, kernel: None, text });
        status
    }

    /// Notes that kernels exist.
    pub(crate) fn declare(&self, module: &str, kernels: impl IntoIterator<Item = String>) {
        let mut journal = self.journal();
        for kernel in kernels {
            journal.kernels.entry((module.into(), kernel)).or_default();
        }
    }

    /// Notes a launch that ran to its end.
    pub(crate) fn record(&self, launch: Launch) {
        let mut journal = self.journal();
        let key = (launch.module.clone(), launch.kernel.clone());
        *journal.kernels.entry(key).or_default() += 1;
        journal.launches.push(launch);
    }

    /// The failure ordered for a kernel's next launch, of the kind asked for.
    pub(crate) fn ordered_failure(&self, kernel: &str, while_running: bool) -> Option<Status> {
        let mut journal = self.journal();
        let status = *journal.failures.get(kernel)?;
        (status.is_sticky() == while_running).then(|| journal.failures.remove(kernel))?
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(options: &Options) -> Result<(), Error> {
    let bad = |name, value: String, expected| Err(Error::Option { name, value, expected });
    if options.devices > 64 {
        return bad("devices", options.devices.to_string(), "at most 64");
    }
    if !(1..=256).contains(&options.workers) {
        return bad("workers", options.workers.to_string(), "between 1 and 256");
    }
    if !(16 << 10..=8 << 20).contains(&options.stack) {
        return bad("stack", options.stack.to_string(), "between 16 KiB and 8 MiB");
    }
    if options.multiprocessors == 0 {
        return bad("multiprocessors", "0".into(), "at least 1");
    }
    Ok(())
}
